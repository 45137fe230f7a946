"""Errors of PostgreSQL: what the caller gets, and what the log says.

An *environmental* error is the fault of the server, its machine or the way there: callers get
UnavailableError (503). Any other error is the fault of the statement: callers get RuntimeError
(500).
"""

import asyncpg

from service.domain.errors import UnavailableError
from service.repositories.fault_log import FaultLog
from service.telemetry.logs import describe

_ENVIRONMENTAL_CLASSES = {
    "08",  # connection exceptions
    "28",  # the password was changed
    "3D",  # the database was dropped
    "40",  # transaction rollback, after the repetitions
    "53",  # no memory, disk or connection left
    "55",  # a lock, or not in this state
    "57",  # operator intervention: shutdown, start, statement timeout
    "58",  # errors of the system
    "XX",  # internal errors, damage included
}
_READ_ONLY = "25006"
_ROLLED_BACK = {"40001", "40P01"}  # serialization failure, deadlock: nothing was done
_FATAL_CLASSES = {"08", "58"}
_FATAL_CODES = {"57P01", "57P02", "57P03", "57P05", _READ_ONLY}


class AnswerLostError(UnavailableError):
    """The connection was lost after a statement was sent: it may have been done or not."""

    def __init__(self) -> None:
        super().__init__("The connection to the database was lost. Try again.")


class NotConnectedError(UnavailableError):
    """No connection can be opened: nothing was sent."""

    def __init__(self) -> None:
        super().__init__("The database can't be reached. Try again later.")


class DuplicateError(RuntimeError):
    """A value is there already that may be there once."""


def caller_error(error: Exception) -> Exception:
    """Return the exception for one caller, caused by ``error``.

    Each caller gets an exception of its own: one that is raised twice has two tracebacks.
    """
    failure: Exception
    if isinstance(error, (AnswerLostError, NotConnectedError)):
        failure = type(error)()
    elif is_environmental(error):
        failure = UnavailableError("The database can't do this now. Try again later.")
    elif sqlstate(error) == "23505":
        failure = DuplicateError("a value is there already")
    else:
        failure = RuntimeError("a statement failed")
    failure.__cause__ = error
    return failure


def is_environmental(error: Exception) -> bool:
    """Return whether ``error`` is the fault of the server or of the way there."""
    if isinstance(error, (UnavailableError, OSError, TimeoutError)):
        return True
    code = sqlstate(error)
    return is_lost(error) or code[:2] in _ENVIRONMENTAL_CLASSES or code == _READ_ONLY


def is_rolled_back(error: Exception) -> bool:
    """Return whether another transaction was in the way: the statement may be sent again."""
    return sqlstate(error) in _ROLLED_BACK


def is_refused(error: Exception) -> bool:
    """Return whether the server has refused to do anything on this connection."""
    return sqlstate(error) == _READ_ONLY


def is_lost(error: Exception) -> bool:
    """Return whether the connection that met ``error`` is of no use any more.

    A server that may only be read is of no use, either: its successor may be another host.
    """
    code = sqlstate(error)
    return (
        isinstance(error, (OSError, TimeoutError, asyncpg.InternalClientError))
        or (isinstance(error, asyncpg.InterfaceError) and not isinstance(error, asyncpg.DataError))
        or code[:2] in _FATAL_CLASSES
        or code in _FATAL_CODES
    )


def sqlstate(error: BaseException) -> str:
    """Return the server's code of an error; empty if it is not the server's."""
    return getattr(error, "sqlstate", None) or ""


def safe_text(error: Exception) -> str:
    """Return an error for the log, without what the server says of values."""
    if isinstance(error, asyncpg.PostgresError):
        return f"{type(error).__name__}: {error.args[0] if error.args else ''} ({error.sqlstate})"
    return describe(error)


class ErrorMonitor(FaultLog):
    """Logs the environmental errors of all connections to one database."""

    def record(self, error: Exception, connection: str, statement: str) -> None:
        """Log an environmental error; ignore any other error."""
        if is_environmental(error):
            self.record_fault(safe_text(error), connection, statement)
