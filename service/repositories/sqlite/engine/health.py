"""Health checks of the database, and the sizes of its files."""

import sqlite3
from pathlib import Path

from service.domain.errors import UnavailableError
from service.repositories.sqlite.engine.database import (
    _CHECK_READING,
    Database,
)
from service.repositories.sqlite.engine.file import (
    APPLICATION_ID,
)
from service.repositories.sqlite.engine.migrate import SCHEMA

_WAL_ALARM_BYTES = 2**30


async def check_readable(database: Database) -> None:
    """Raises UnavailableError where the file can't be read, by one way or the other.

    Damage is where nobody looks for it, so what was met lately counts.
    """
    if database.faults.are_damage:
        raise UnavailableError("The file is damaged: see `shared-reports check`.")
    database.reader.fetch_all(_CHECK_READING)
    await database.read_worker.fetch_all(_CHECK_READING)


async def check_schema(database: Database) -> None:
    """Raises UnavailableError where another release has changed the schema since the start."""
    [[version]] = await database.read_worker.fetch_all(
        "-- check the schema\nSELECT user_version FROM pragma_user_version"
    )
    if version != SCHEMA.version:
        raise UnavailableError(
            f"The file has schema version {version}; this program knows {SCHEMA.version}."
        )


async def check_writable(database: Database) -> None:
    """Take the write lock, change nothing. Raises UnavailableError where that can't be done.

    After a failed write, one is made that changes nothing either: a full disk gives the lock.
    """
    await database.writer.fetch_all(
        "-- check writing\nUPDATE api_keys SET is_active = is_active WHERE FALSE RETURNING id"
    )
    if database.faults.of_writing:
        await database.writer.fetch_all(f"-- try writing\nPRAGMA application_id = {APPLICATION_ID}")
        database.faults.of_writing = False


async def used_by_litestream(database: Database) -> bool:
    """Whether Litestream has ever run beside a service on this file."""
    [[tables]] = await database.read_worker.fetch_all(
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
