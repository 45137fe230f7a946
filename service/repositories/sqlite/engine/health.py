"""Health checks of the database, and the sizes of its files."""

import sqlite3
from pathlib import Path

from service.domain.errors import UnavailableError
from service.repositories.sqlite.engine.database import CHECK_READING, Database
from service.repositories.sqlite.engine.file import APPLICATION_ID, size
from service.repositories.sqlite.engine.migrate import SCHEMA

_WAL_ALARM_BYTES = 2**30


async def check_readable(database: Database) -> None:
    """Raise UnavailableError if one of the read connections fails, or met damage lately.

    Only the statements that need a damaged page meet the damage, and this check needs few pages.
    """
    if database.errors.is_damaged:
        raise UnavailableError("The file is damaged: see `shared-reports check`.")
    database.reader.fetch_all(CHECK_READING)
    await database.read_worker.fetch_all(CHECK_READING)


async def check_schema(database: Database) -> None:
    """Raise UnavailableError if another release has migrated the schema since the start."""
    [[version]] = await database.read_worker.fetch_all(
        "-- check the schema\nSELECT user_version FROM pragma_user_version"
    )
    if version != SCHEMA.version:
        raise UnavailableError(
            f"The file has schema version {version}; this program knows {SCHEMA.version}."
        )


async def check_writable(database: Database) -> None:
    """Take the write lock and change nothing. Raise UnavailableError if that fails.

    After a failed write, write the application id again: a full disk still gives the lock.
    """
    await database.writer.fetch_all(
        "-- check writing\nUPDATE api_keys SET is_active = is_active WHERE FALSE RETURNING id"
    )
    if database.errors.write_failed:
        await database.writer.fetch_all(f"-- try writing\nPRAGMA application_id = {APPLICATION_ID}")
        database.errors.write_failed = False


async def used_by_litestream(database: Database) -> bool:
    """Return whether Litestream has ever run beside a service on this file."""
    [[tables]] = await database.read_worker.fetch_all(
        "-- look for litestream\n"
        "SELECT count(*) FROM sqlite_schema WHERE name IN ('_litestream_seq', '_litestream_lock')"
    )
    return bool(tables)


def wal_size(path: Path) -> int:
    """Return the bytes in the write-ahead log of the file at ``path``; 0 if there is none."""
    return size(path.with_name(f"{path.name}-wal"))


def wal_excess(path: Path) -> str | None:
    """Return a warning if the write-ahead log has 1 GiB or more, else None."""
    grown = wal_size(path)
    if grown < _WAL_ALARM_BYTES:
        return None
    return (
        f"The write-ahead log has {grown / 2**30:.1f} GiB: a read has been under way for long, or "
        "nobody checkpoints."
    )


def wal_race(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> str | None:
    """Return a warning if this version of SQLite has the WAL-reset race, else None."""
    fixed = version[:2] == (3, 44) and version >= (3, 44, 6)
    fixed |= version[:2] == (3, 50) and version >= (3, 50, 7)
    if fixed or not (3, 7, 0) <= version <= (3, 51, 2):
        return None
    return (
        f"SQLite {'.'.join(map(str, version))} can lose pages when one process checkpoints while "
        "another commits (fixed in 3.51.3): never run two services on one file."
    )
