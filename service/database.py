"""The open database: its connections and their PRAGMAs.

One connection writes, one reads what may take long, each in a lane with a thread of its own; one
looks things up on the event loop itself. Nothing else touches them.
"""

import math
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiosqlite

from service.errors import DatabaseRefusedError, UnavailableError
from service.file import BUSY_MS, alone, uri
from service.lane import Lane
from service.reader import Reader
from service.upgrade import SCHEMA, prepare

SQLITE_VERSION = sqlite3.sqlite_version

_WAL_LIMIT_BYTES = 64 * 2**20
_WAL_ALARM_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Database:
    """The ways into an open database."""

    reader: Reader
    """Look-ups, each of which takes microseconds."""
    scanner: Lane
    """Reads that may take long: a whole analysis, a list, a count."""
    writer: Lane


@asynccontextmanager
async def open_database(
    path: Path, *, serves: bool, checkpoints: bool = True, slow: float = math.inf
) -> AsyncIterator[Database]:
    """Open ``path``, creating or migrating it where need be, and close it behind the last trip.

    Only one process may checkpoint: SQLite 3.7.0 to 3.51.2 can lose pages when one connection
    checkpoints while another commits. So only the one that ``serves`` does, and it does not where
    a program beside it does that (``checkpoints`` is false). Statements that take ``slow`` seconds
    or longer are logged.

    Raises DatabaseRefusedError for a file that is not ours, newer than this program, being served
    already, or can't be opened at all; BackupError where one that is older can't be copied.
    """
    try:
        prepare(path)
    except sqlite3.Error as error:
        raise DatabaseRefusedError(f"{path}: {error}") from error
    checkpoint = f"PRAGMA wal_autocheckpoint = {1000 if serves and checkpoints else 0}"
    async with AsyncExitStack() as stack:
        if serves:
            stack.enter_context(alone(path, "is being served by another process"))
        writer = await stack.enter_async_context(_lane("writer", path, "rwc", checkpoint, slow))
        scanner = await stack.enter_async_context(_lane("scanner", path, "ro", _NO_WRITE, slow))
        yield Database(stack.enter_context(_reader(path, slow)), scanner, writer)


@asynccontextmanager
async def _lane(name: str, path: Path, mode: str, pragma: str, slow: float) -> AsyncIterator[Lane]:
    async with aiosqlite.connect(uri(path, mode), uri=True, isolation_level=None) as connection:
        for each in (*_PRAGMAS, pragma):
            await connection.execute_fetchall(each)
        lane = Lane(connection, name, slow)
        try:
            yield lane
        finally:
            await lane.close()


@contextmanager
def _reader(path: Path, slow: float) -> Iterator[Reader]:
    connection = sqlite3.connect(uri(path, "ro"), uri=True, isolation_level=None)
    for each in (*_PRAGMAS, _NO_WRITE, *_READER_PRAGMAS):
        connection.execute(each)
    reader = Reader(connection, "reader", slow)
    try:
        yield reader
    finally:
        reader.close()


_NO_WRITE = "PRAGMA query_only = ON"
_PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_MS}",
    "PRAGMA synchronous = FULL",  # an acknowledged write survives a loss of power
    "PRAGMA foreign_keys = ON",
    f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}",
    "PRAGMA trusted_schema = OFF",
)
_READER_PRAGMAS = (
    "PRAGMA busy_timeout = 20",  # nothing else is answered meanwhile; a lock is hardly ever found
    "PRAGMA cache_size = -8192",  # KiB: to read a page costs as much as a look-up
)


_CHECK_READING = "-- check reading\nSELECT count(*) FROM sqlite_schema"


async def check_readable(database: Database) -> None:
    """Raises UnavailableError where the file can't be read, by one way or the other."""
    database.reader.fetch(_CHECK_READING)
    await database.scanner.fetch(_CHECK_READING)


async def check_schema(database: Database) -> None:
    """Raises UnavailableError where another release has changed the schema since the start."""
    [[version]] = await database.scanner.fetch(
        "-- check the schema\nSELECT user_version FROM pragma_user_version"
    )
    if version != SCHEMA.version:
        raise UnavailableError(
            f"The file has schema version {version}; this program knows {SCHEMA.version}."
        )


async def check_writable(database: Database) -> None:
    """Take the write lock, change nothing. Raises UnavailableError where that can't be done."""
    await database.writer.fetch(
        "-- check writing\nUPDATE api_keys SET is_active = is_active WHERE FALSE RETURNING id"
    )


async def used_by_litestream(database: Database) -> bool:
    """Whether Litestream has ever run beside a service on this file."""
    [[tables]] = await database.scanner.fetch(
        "-- look for litestream\n"
        "SELECT count(*) FROM sqlite_schema WHERE name IN ('_litestream_seq', '_litestream_lock')"
    )
    return bool(tables)


def wal_size(path: Path) -> int:
    """Bytes in the write-ahead log of the file at ``path``; 0 where there is none."""
    return size(path.with_name(f"{path.name}-wal"))


def wal_excess(path: Path) -> str | None:
    """What to tell of a write-ahead log that only grows; None of one that doesn't."""
    grown = wal_size(path)
    if grown < _WAL_ALARM_BYTES:
        return None
    return (
        f"The write-ahead log has {grown / 2**30:.1f} GiB: a read has been under way for long, or "
        "nobody checkpoints."
    )


def size(path: Path) -> int:
    """Bytes in a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def wal_race(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> str | None:
    """What to tell of an SQLite that has the WAL-reset race; None of one that hasn't."""
    fixed = version[:2] == (3, 44) and version >= (3, 44, 6)
    fixed |= version[:2] == (3, 50) and version >= (3, 50, 7)
    if fixed or not (3, 7, 0) <= version <= (3, 51, 2):
        return None
    return (
        f"SQLite {'.'.join(map(str, version))} can lose pages when one process checkpoints while "
        "another commits (fixed in 3.51.3): never run two services on one file."
    )
