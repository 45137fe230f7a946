"""Faults of the file or the machine: what callers are told of one, and what the operator is."""

import math
import sqlite3
import time

import structlog

from service.domain.errors import UnavailableError
from service.telemetry.logs import describe

_CIRCUMSTANCES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}
"""Result codes that blame the file or the machine; any other blames the statement."""
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_TOLD_AGAIN = 10.0  # seconds; thousands of calls may meet one fault in that time
_DAMAGE_STAYS = 60.0  # seconds; what is damaged is not read all the time

log = structlog.get_logger()


def caller_error(error: Exception) -> Exception:
    """What a caller is told of ``error``: UnavailableError, or a fault of ours.

    A fresh exception for each caller: one that is raised twice carries two tracebacks.
    """
    failure: Exception
    if is_fault(error):
        failure = UnavailableError("The database can't do this now. Try again later.")
    else:
        failure = RuntimeError("a statement failed")
    failure.__cause__ = error
    return failure


def is_fault(error: Exception) -> bool:
    """Whether ``error`` blames the file or the machine."""
    return isinstance(error, UnavailableError) or _code(error) in _CIRCUMSTANCES


def blocks_queue(error: Exception) -> bool:
    """Whether the next call would wait as long as this one has, and then fail like it."""
    return isinstance(error, UnavailableError) or _code(error) == sqlite3.SQLITE_BUSY


class ErrorMonitor:
    """The faults that the connections of one database meet."""

    def __init__(self) -> None:
        self._error_response: dict[str, float] = {}
        self._damaged = -math.inf
        self.of_writing = False
        """Whether a write has failed, and none has been made to see whether one would again."""

    def record(self, error: Exception, lane: str, statement: str) -> None:
        """Log a fault, each at most every ten seconds, and remember it; no other error."""
        if not is_fault(error):
            return
        now = time.monotonic()
        if _code(error) in _DAMAGE:
            self._damaged = now
        self.of_writing |= lane == "writer"
        what = describe(error)
        if now - self._error_response.get(what, -math.inf) >= _TOLD_AGAIN:
            self._error_response[what] = now
            log.error("database fault", fault=what, lane=lane, statement=statement)

    @property
    def are_damage(self) -> bool:
        """Whether SQLite has found the file damaged within the last minute."""
        return time.monotonic() - self._damaged < _DAMAGE_STAYS

    def clear(self) -> None:
        """Another file is open now."""
        self._damaged = -math.inf


def _code(error: BaseException) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
