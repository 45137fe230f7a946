"""The database file: connections to it, whose and whether it is there, who may be alone with it."""

import fcntl
import os
import sqlite3
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.domain.errors import DatabaseRefusedError

APPLICATION_ID = 0x53685270  # "ShRp": tells our files from other programs'
BUSY_MS = 5_000
"""How long to wait for a lock that another connection or process holds."""

_HEADER = struct.Struct(">16s44xI4xI")  # https://www.sqlite.org/fileformat.html#the_database_header
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


def is_writable(path: Path) -> bool:
    """Whether the file may be written to: SQLite opens one that may not, and stays read-only."""
    return os.access(path, os.W_OK)


class DatabaseFiles:
    """The files of an open database, and whether its paths still lead to them.

    SQLite goes on writing to a file that has been deleted or replaced, and what it writes is gone
    with the process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._paths = [path.with_name(f"{path.name}{each}") for each in ("", "-wal", "-shm")]
        self._opened: list[_Identity] = []
        self.record()

    def record(self) -> None:
        """Take those for the database's that are there now."""
        self._opened = [_identity(path) for path in self._paths]

    def replaced(self) -> str | None:
        """Which file has been deleted or replaced; None where none has. Takes microseconds."""
        for path, opened in zip(self._paths, self._opened, strict=True):
            if _identity(path) != opened:
                return f"{path.name} was deleted or replaced under the running service."
        return None

    def successor_fault(self, version: int) -> str | None:
        """Why what is at the path can't be used instead; None of a database of ``version``.

        SQLite's locks on a file go when the process closes it, so the file that is open must not
        be looked into; nor need it be.
        """
        if _identity(self._path) == self._opened[0]:
            return None
        try:
            with self._path.open("rb") as file:
                magic, found, application = _HEADER.unpack(file.read(_HEADER.size))
        except FileNotFoundError:
            return f"{self._path.name} was deleted under the running service."
        except struct.error:
            magic, found, application = b"", 0, 0
        except OSError as error:
            return f"{self._path.name} was replaced and can't be read: {error.strerror}."
        if magic != b"SQLite format 3\0" or (application, found) != (APPLICATION_ID, version):
            return f"{self._path.name} was replaced by what is no database of this release."
        return None


_Identity = tuple[int, int] | None


def _identity(path: Path) -> _Identity:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Lock:
    """A lock that has just been taken on the file at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._taken = _identity(path)

    def holds(self) -> bool:
        """Whether it still keeps others out: it does not where its file has been deleted."""
        return _identity(self._path) == self._taken


@contextmanager
def alone(path: Path, refusal: str, patience: float = 0.0) -> Iterator[Lock]:
    """Hold the lock of the one process that may serve or migrate; it goes with the process.

    Raises DatabaseRefusedError with ``refusal`` where another process still has it after
    ``patience`` seconds.
    """
    deadline = time.monotonic() + patience
    place = path.with_name(f"{path.name}.lock")
    with place.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise DatabaseRefusedError(f"{path} {refusal}") from error
            time.sleep(_LOCK_POLL)
        yield Lock(place)
