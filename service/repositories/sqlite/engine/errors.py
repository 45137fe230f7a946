"""Errors of SQLite: what the caller gets, and what the log says.

An *environmental* error is the fault of the file or the machine: callers get UnavailableError
(503). Any other error is the fault of the statement: callers get RuntimeError (500).
"""

import math
import sqlite3
import time

import structlog

from service.domain.errors import UnavailableError
from service.telemetry.logs import describe

_ENVIRONMENTAL_CODES = {
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
_DAMAGE_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_LOG_INTERVAL = 10.0  # seconds between two lines of one error, which may meet thousands of calls
_DAMAGE_MEMORY = 60.0  # seconds; the damaged page is not read all the time

log = structlog.get_logger()


def caller_error(error: Exception) -> Exception:
    """Return the exception for one caller: UnavailableError or RuntimeError, caused by ``error``.

    Each caller gets an exception of its own: one that is raised twice has two tracebacks.
    """
    failure: Exception
    if is_environmental(error):
        failure = UnavailableError("The database can't do this now. Try again later.")
    else:
        failure = RuntimeError("a statement failed")
    failure.__cause__ = error
    return failure


def is_environmental(error: Exception) -> bool:
    """Return whether ``error`` is the fault of the file or the machine."""
    return isinstance(error, UnavailableError) or _primary_code(error) in _ENVIRONMENTAL_CODES


def blocks_queue(error: Exception) -> bool:
    """Return whether the next task would wait as long as this one did, and then fail like it."""
    return isinstance(error, UnavailableError) or _primary_code(error) == sqlite3.SQLITE_BUSY


class ErrorMonitor:
    """Remembers and logs the environmental errors of all connections to one database."""

    def __init__(self) -> None:
        self._logged_at: dict[str, float] = {}
        self._damaged_at = -math.inf
        self.write_failed = False
        """Whether a write has failed, and no write was tried since to see whether one succeeds."""

    def record(self, error: Exception, connection: str, statement: str) -> None:
        """Log an environmental error, each text at most every 10 s; ignore any other error."""
        if not is_environmental(error):
            return
        if _primary_code(error) in _DAMAGE_CODES:
            self._damaged_at = time.monotonic()
        self.write_failed |= connection == "writer"
        text = describe(error)
        if self._is_due(text):
            log.error("database fault", error=text, connection=connection, statement=statement)

    def record_late(self, connection: str, statement: str) -> None:
        """Log that a statement waited too long for its turn, at most every 10 s a connection.

        That is no fault of the file or the machine: more is asked for than the connection can do.
        """
        if self._is_due(f"late {connection}"):
            log.warning("database queue too long", connection=connection, statement=statement)

    def _is_due(self, text: str) -> bool:
        now = time.monotonic()
        if now - self._logged_at.get(text, -math.inf) < _LOG_INTERVAL:
            return False
        self._logged_at[text] = now
        return True

    @property
    def is_damaged(self) -> bool:
        """Whether SQLite has found damage in the file within the last 60 s."""
        return time.monotonic() - self._damaged_at < _DAMAGE_MEMORY

    def clear(self) -> None:
        """Forget the damage: another file is open now."""
        self._damaged_at = -math.inf


def _primary_code(error: BaseException) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
