"""Look-ups on the loop: one transaction a turn, never older than what has been told."""

import asyncio
import math
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from service.domain.errors import UnavailableError
from service.repositories.sqlite.engine.database import Database, open_database
from service.repositories.sqlite.engine.errors import ErrorMonitor
from service.repositories.sqlite.engine.read_connection import SNAPSHOT_SECONDS, ReadConnection

READ_CONNECTION = "service.repositories.sqlite.engine.read_connection"
COUNT = "-- count\nSELECT count(*) FROM api_keys"
INSERT = """-- insert
    INSERT INTO api_keys (user_id, name, key_prefix, digest, created_at)
    VALUES ('u', 'n', 'p', :digest, '2025-01-15T10:00:00') RETURNING id"""


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "x.sqlite3", serves=True) as database:
        yield database


@pytest.fixture
def other(database: Database, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Another process on the same file."""
    assert database is not None
    with closing(sqlite3.connect(tmp_path / "x.sqlite3", isolation_level=None)) as connection:
        yield connection


def digest(number: int) -> str:
    return f"{number:064x}"


async def test_read_connection_shows_one_state_within_a_turn(
    database: Database, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it takes longer than a snapshot may be old."""
    monkeypatch.setattr(f"{READ_CONNECTION}.SNAPSHOT_SECONDS", math.inf)
    assert database.reader.fetch_all(COUNT) == [(0,)]
    other.execute(INSERT, {"digest": digest(1)}).fetchall()
    assert database.reader.fetch_all(COUNT) == [(0,)]
    await asyncio.sleep(0)
    assert database.reader.fetch_all(COUNT) == [(1,)]


async def test_read_connection_leaves_the_state_that_a_long_turn_began_with(
    database: Database, other: sqlite3.Connection
) -> None:
    """What another process acknowledged while the loop was held up is in the turn's next answer."""
    cached = "-- find\nSELECT NULL, name FROM api_keys WHERE digest = :key"
    other.execute(INSERT, {"digest": digest(1)}).fetchall()
    for _ in range(2):
        assert database.reader.get_cached(cached, digest(1), "") == (None, "n")
        await asyncio.sleep(0)
    assert database.reader.get_cached(cached, digest(1), "") == (None, "n")
    other.execute("DELETE FROM api_keys")
    time.sleep(SNAPSHOT_SECONDS)  # noqa: ASYNC251 - a handler that blocks the loop
    assert database.reader.get_cached(cached, digest(1), "") is None
    assert database.reader.fetch_all(COUNT) == [(0,)]
    await asyncio.sleep(0)
    busy, _, _ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert not busy  # the turn's end has ended the second transaction, too


async def test_read_connection_counts_the_look_ups_of_a_turn_together(database: Database) -> None:
    for _ in range(3):
        database.reader.fetch_all(COUNT)
    await asyncio.sleep(0)
    database.reader.fetch_all(COUNT)
    await asyncio.sleep(0)
    assert dict(database.reader.batch_sizes.buckets())["+Inf"] == 2
    assert database.reader.batch_sizes.sum == 4


async def test_read_connection_sees_every_acknowledged_write(database: Database) -> None:
    """While look-ups keep a transaction open in every turn of the loop."""
    done = False

    async def keep_looking() -> None:
        while not done:
            database.reader.fetch_all(COUNT)
            await asyncio.sleep(0)

    others = [asyncio.create_task(keep_looking()) for _ in range(5)]
    for number in range(300):
        await database.writer.fetch_all(INSERT, digest=digest(number))
        assert database.reader.fetch_all(COUNT) == [(number + 1,)]
    done = True
    await asyncio.gather(*others)


async def test_read_connection_that_is_idle_blocks_no_checkpoint(
    database: Database, other: sqlite3.Connection
) -> None:
    database.reader.fetch_all(COUNT)
    await asyncio.sleep(0)
    other.execute(INSERT, {"digest": digest(1)}).fetchall()
    busy, _, _ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert not busy


async def test_read_connection_works_after_a_failed_look_up(database: Database) -> None:
    with pytest.raises(RuntimeError):
        database.reader.fetch_all("SELEC 1")
    assert database.reader.fetch_all(COUNT) == [(0,)]
    with pytest.raises(UnavailableError):
        database.reader.fetch_all("DELETE FROM api_keys RETURNING id")
    await asyncio.sleep(0)
    assert database.reader.fetch_all(COUNT) == [(0,)]


class Stuck(sqlite3.Connection):
    """A connection that can't end its first transaction."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, *parameters)


async def test_read_connection_reopens_if_its_transaction_cannot_end(
    database: Database, other: sqlite3.Connection, tmp_path: Path
) -> None:
    """It would show for ever what there was when it began, revoked links too."""
    assert database is not None
    kinds = iter([Stuck, sqlite3.Connection])

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(tmp_path / "x.sqlite3", isolation_level=None, factory=next(kinds))

    reader = ReadConnection(connect, "test", math.inf, ErrorMonitor())
    assert reader.fetch_all(COUNT) == [(0,)]
    await asyncio.sleep(0)
    other.execute(INSERT, {"digest": digest(1)}).fetchall()
    assert reader.fetch_all(COUNT) == [(1,)]
    await asyncio.sleep(0)
    reader.close()
