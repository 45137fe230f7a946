"""The database file: plain connections to it, whose it is, and who may be alone with it."""

import fcntl
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.errors import DatabaseRefusedError

APPLICATION_ID = 0x53685270  # "ShRp": tells our files from other programs'
BUSY_MS = 5_000
"""How long to wait for a lock that another connection or process holds."""

_LOCK_POLL = 0.02  # seconds; flock can't wait for a time and then give up


def uri(path: Path, mode: str) -> str:
    """The file's name for SQLite, with ``mode`` ``ro``, ``rw`` or ``rwc``."""
    return f"{path.absolute().as_uri()}?mode={mode}"


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection that commits each statement by itself and never checkpoints while it is open.

    When it is closed as the last one on the file, SQLite checkpoints, alone with the file as it
    then is; one of mode ``ro`` does not do even that.
    """
    connection = sqlite3.connect(
        uri(path, mode), uri=True, isolation_level=None, timeout=BUSY_MS / 1000
    )
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def version(path: Path, connection: sqlite3.Connection) -> int:
    """The schema version of a file that is ours, 0 for an empty one.

    Raises DatabaseRefusedError for another program's.
    """
    version, application, tables = connection.execute(
        "SELECT (SELECT user_version FROM pragma_user_version),"
        " (SELECT application_id FROM pragma_application_id),"
        " (SELECT count(*) FROM sqlite_schema)"
    ).fetchone()
    if tables == 0:
        return 0
    if application != APPLICATION_ID:
        raise DatabaseRefusedError(
            f"{path} is not a database of Shared Reports; nothing was done to it"
        )
    return int(version)


@contextmanager
def alone(path: Path, refusal: str, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock of the one process that may serve or migrate; it goes with the process.

    Raises DatabaseRefusedError with ``refusal`` where another process still has it after
    ``patience`` seconds.
    """
    deadline = time.monotonic() + patience
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise DatabaseRefusedError(f"{path} {refusal}") from error
            time.sleep(_LOCK_POLL)
        yield
