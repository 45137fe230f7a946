"""The database file: how to connect to it, its header, and whether it is still at its path."""

import os
import sqlite3
import struct
from pathlib import Path
from typing import NamedTuple

from service.domain.errors import DatabaseRefusedError

APPLICATION_ID = 0x53685270  # "ShRp", in the header: tells our files from those of other programs
BUSY_MS = 5_000
"""Milliseconds to wait for a lock that another connection or process holds."""

# https://www.sqlite.org/fileformat.html#the_database_header: magic, page size, write version,
# change counter, page count, schema version, application id, change counter of the page count.
_HEADER = struct.Struct(">16sHB5xII28xI4xI20xI")
_MAGIC = b"SQLite format 3\0"

_CONTENT = """
    SELECT EXISTS (SELECT 1 FROM api_keys) OR EXISTS (SELECT 1 FROM videos)
                OR EXISTS (SELECT 1 FROM shared_reports),
           EXISTS (SELECT 1 FROM signing_key)"""


class Identity(NamedTuple):
    """What tells one file from another, whatever their names are."""

    device: int
    inode: int


def identify(path: Path | str) -> Identity | None:
    """Return the identity of the file at ``path``, or None if there is none. Takes 1 to 2 µs."""
    try:
        status = os.stat(path)  # noqa: PTH116 - Path.stat takes twice as long, before each statement
    except OSError:
        return None
    return Identity(status.st_dev, status.st_ino)


def size(path: Path) -> int:
    """Return the bytes in a file; 0 if there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def uri(path: Path, mode: str) -> str:
    """Return the file's URI for SQLite; ``mode`` is ``ro``, ``rw`` or ``rwc``."""
    return f"{path.absolute().as_uri()}?mode={mode}"


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Return a connection in autocommit mode that does not checkpoint while it is open.

    The last connection to a file checkpoints when it is closed, unless its mode is ``ro``.
    """
    connection = sqlite3.connect(
        uri(path, mode), uri=True, isolation_level=None, timeout=BUSY_MS / 1000
    )
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def version(path: Path, connection: sqlite3.Connection) -> int:
    """Return the schema version of a database of ours; 0 for an empty file.

    Raises DatabaseRefusedError for another program's database.
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
    """Return whether the file may be written to: SQLite also opens one that may only be read."""
    return os.access(path, os.W_OK)


class Header(NamedTuple):
    """The fields of a database's header that tell whether the file is complete and ours."""

    magic: bytes
    page_size: int
    write_version: int
    change_counter: int
    page_count: int
    schema_version: int
    application_id: int
    page_count_valid_for: int

    def is_ours(self, version: int) -> bool:
        """Return whether this is a database of ours of this schema version."""
        return (self.magic, self.application_id, self.schema_version) == (
            _MAGIC,
            APPLICATION_ID,
            version,
        )

    @property
    def is_in_wal_mode(self) -> bool:
        """Whether the database uses a write-ahead log; a copy made by ``backup`` does not."""
        return self.write_version == 2  # noqa: PLR2004 - the file format's number

    @property
    def size(self) -> int:
        """Bytes that the file has when it is complete; 0 if the header does not say."""
        if self.page_count_valid_for != self.change_counter:
            return 0
        return self.page_count * (65536 if self.page_size == 1 else self.page_size)


def read_header(descriptor: int) -> Header | None:
    """Return the header of an open file, or None if the file is shorter than one."""
    content = os.pread(descriptor, _HEADER.size, 0)
    return Header(*_HEADER.unpack(content)) if len(content) == _HEADER.size else None


class DatabaseFiles:
    """The three files of an open database, and whether they are still at their paths.

    SQLite goes on writing to a file that was deleted or replaced, and what it writes is lost with
    the process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._paths = [f"{path}{suffix}" for suffix in ("", "-wal", "-shm")]
        self._opened: list[Identity | None] = []
        self.record()

    def record(self) -> None:
        """Take the files that are at the paths now for those of the open database."""
        self._opened = [identify(path) for path in self._paths]

    def replaced(self) -> str | None:
        """Return a sentence that names a deleted or replaced file; None if there is none."""
        for path, opened in zip(self._paths, self._opened, strict=True):
            if identify(path) != opened:
                name = Path(path).name
                return f"{name} was deleted or replaced under the running service."
        return None

    def is_another_database(self) -> bool:
        """Return whether the database itself was deleted or replaced, not only its log."""
        return identify(self._paths[0]) != self._opened[0]

    def successor_fault(self, version: int) -> str | None:
        """Return why the file now at the path can't be served; None if it can, or is the same.

        A successor is a complete database of ours of this schema ``version``, with content, that
        a service has served before.
        The file that is open is not read: closing it would drop SQLite's locks on it.
        """
        if not self.is_another_database():
            return None
        name = self._path.name
        try:
            fault = _fault(self._path, version)
        except FileNotFoundError:
            return f"{name} was deleted under the running service."
        except OSError as error:
            return f"{name} was replaced and can't be read: {error.strerror}."
        return None if fault is None else f"{name} was replaced by {fault}."


def _fault(path: Path, version: int) -> str | None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        header, status = read_header(descriptor), os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if header is None or not header.is_ours(version):
        return "what is no database of this release"
    if status.st_size < header.size:
        return "an incomplete copy, or one that is still being written"
    if status.st_nlink > 1:
        return f"a file with {status.st_nlink} names (hard links)"
    return _content_fault(path)


def _content_fault(path: Path) -> str | None:
    """Return what a database of ours lacks that each copy of a served one has; None if nothing.

    The service makes the signing key at its first start. No command makes one: a database without
    was created by a command, after the files of the open one were deleted.
    ``immutable`` makes SQLite ignore a log at the path, which is that of the file still open.
    """
    connection = sqlite3.connect(f"{uri(path, 'ro')}&immutable=1", uri=True)
    try:
        [(has_content, was_served)] = connection.execute(_CONTENT)
    except sqlite3.Error:
        return "a file that can't be read"
    finally:
        connection.close()
    if not has_content:
        return "an empty database"
    return None if was_served else "a database that was never served"
