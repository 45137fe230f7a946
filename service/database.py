"""The database file: its schema, its connections and their PRAGMAs, its lanes.

One connection writes, one reads what is a look-up, one reads what may take long, so that no view
of a link waits behind it. Each belongs to a lane; nothing else touches them.
"""

import fcntl
import math
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import aiosqlite

from service.errors import DatabaseRefusedError, UnavailableError
from service.lane import Lane

SCHEMA_VERSION = 1
APPLICATION_ID = 0x53685270  # "ShRp": tells our files from other programs'

SQLITE_VERSION = sqlite3.sqlite_version

_BUSY_MS = 5_000
_WAL_LIMIT_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Database:
    """The lanes of an open database."""

    reader: Lane
    """Look-ups, each of which takes microseconds."""
    scanner: Lane
    """Reads that may take long: a whole analysis, a list, a count."""
    writer: Lane

    async def settled(self) -> None:
        """Wait until whatever is being read now has been answered.

        After a link's deletion: no answer that has seen it may begin after this.
        """
        await self.reader.settled()
        await self.scanner.settled()


@asynccontextmanager
async def open_database(
    path: Path, *, checkpoints: bool, slow: float = math.inf
) -> AsyncIterator[Database]:
    """Open ``path``, creating it where missing, and close it behind the last trip.

    Only one process may checkpoint: SQLite 3.7.0 to 3.51.2 can lose pages when one connection
    checkpoints while another commits. So the service opens with ``checkpoints`` and every other
    program without. Statements that take ``slow`` seconds or longer are logged.

    Raises DatabaseRefusedError for a file that is not ours, or newer than this program, or can't
    be opened at all.
    """
    try:
        prepare(path)
    except sqlite3.Error as error:
        raise DatabaseRefusedError(f"{path}: {error}") from error
    checkpoint = f"PRAGMA wal_autocheckpoint = {1000 if checkpoints else 0}"
    async with AsyncExitStack() as stack:
        if checkpoints:
            stack.enter_context(_alone(path))
        writer = await stack.enter_async_context(_lane("writer", path, "rwc", checkpoint, slow))
        reader, scanner = [
            await stack.enter_async_context(_lane(name, path, "ro", "PRAGMA query_only = ON", slow))
            for name in ("reader", "scanner")
        ]
        yield Database(reader, scanner, writer)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of the one process that may checkpoint; the system lets go of it at our end."""
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DatabaseRefusedError(f"{path} is being served by another process") from error
        yield


@asynccontextmanager
async def _lane(name: str, path: Path, mode: str, pragma: str, slow: float) -> AsyncIterator[Lane]:
    async with aiosqlite.connect(_uri(path, mode), uri=True, isolation_level=None) as connection:
        for each in (*_PRAGMAS, pragma):
            await connection.execute_fetchall(each)
        lane = Lane(connection, name, slow)
        try:
            yield lane
        finally:
            await lane.close()


_PRAGMAS = (
    f"PRAGMA busy_timeout = {_BUSY_MS}",
    "PRAGMA synchronous = FULL",  # an acknowledged write survives a loss of power
    "PRAGMA foreign_keys = ON",
    f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}",
    "PRAGMA trusted_schema = OFF",
)


def _uri(path: Path, mode: str) -> str:
    return f"{path.absolute().as_uri()}?mode={mode}"


def prepare(path: Path) -> None:
    """Bring the file at ``path`` to this program's schema, in one transaction.

    Raises DatabaseRefusedError for a file that is not ours or newer than this program, and
    sqlite3.Error where SQLite can't use the file.
    """
    if path.parent.is_dir() and not path.exists():
        path.touch(mode=0o600)  # it holds share hashes; SQLite's other files take after it
    with closing(
        sqlite3.connect(_uri(path, "rwc"), uri=True, isolation_level=None, timeout=_BUSY_MS / 1000)
    ) as connection:
        version = _version(path, connection)
        connection.execute("PRAGMA journal_mode = WAL")
        if version == SCHEMA_VERSION:
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(path, connection) == 0:  # another process may have been first
                for statement in _statements(_schema()):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def _version(path: Path, connection: sqlite3.Connection) -> int:
    """The schema version of a file that is ours, 0 for an empty one."""
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
    if version > SCHEMA_VERSION:
        raise DatabaseRefusedError(
            f"{path} has schema version {version}, and this program knows none after "
            f"{SCHEMA_VERSION}: a newer release has used it. Start that release instead."
        )
    return int(version)


def _schema() -> str:
    return (resources.files("service") / "schema.sql").read_text(encoding="utf-8")


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one; executescript would commit half-way."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


async def check_readable(database: Database) -> None:
    """Raises UnavailableError where the file can't be read."""
    await database.reader.fetch("-- check reading\nSELECT count(*) FROM sqlite_schema")


async def check_schema(database: Database) -> None:
    """Raises UnavailableError where another release has changed the schema since the start."""
    [[version]] = await database.reader.fetch(
        "-- check the schema\nSELECT user_version FROM pragma_user_version"
    )
    if version != SCHEMA_VERSION:
        raise UnavailableError(
            f"The file has schema version {version}; this program knows {SCHEMA_VERSION}."
        )


async def check_writable(database: Database) -> None:
    """Take the write lock, change nothing. Raises UnavailableError where that can't be done."""
    await database.writer.fetch(
        "-- check writing\nUPDATE api_keys SET is_active = is_active WHERE FALSE RETURNING id"
    )


def wal_size(path: Path) -> int:
    """Bytes in the write-ahead log of the file at ``path``; 0 where there is none."""
    return size(path.with_name(f"{path.name}-wal"))


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
