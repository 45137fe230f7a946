"""Errors of SQLite: what the caller gets, and what the log says.

An *environmental* error is the fault of the file or the machine: callers get UnavailableError
(503). Any other error is the fault of the statement: callers get RuntimeError (500).
"""

import math
import sqlite3
import time

from service.domain.errors import UnavailableError
from service.repositories.fault_log import FaultLog
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
_DAMAGE_MEMORY = 60.0  # seconds; the damaged page is not read all the time


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


class ErrorMonitor(FaultLog):
    """Remembers and logs the environmental errors of all connections to one database."""

    def __init__(self) -> None:
        super().__init__()
        self._damaged_at = -math.inf

    def record(self, error: Exception, connection: str, statement: str) -> None:
        """Log an environmental error; ignore any other error."""
        if not is_environmental(error):
            return
        if _primary_code(error) in _DAMAGE_CODES:
            self._damaged_at = time.monotonic()
        self.record_fault(describe(error), connection, statement)

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
