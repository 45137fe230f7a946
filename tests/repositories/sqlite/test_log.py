"""The write-ahead log: emptied while nothing is written, so that no deleted content stays in it."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support.harness import FakeClock, Start, database_of, segment
from support.process import PATIENCE

from service.config import Config
from service.repositories.sqlite.engine import database as engine
from service.repositories.sqlite.engine.file import BUSY_MS, DatabaseFiles
from service.repositories.sqlite.engine.log import MAX_AGE, LogWatch, truncate_log

CANARY = "canary-of-deleted-content"


def files_with_canary(config: Config) -> list[str]:
    return [
        file.name
        for file in config.sqlite_file.parent.glob(f"{config.sqlite_file.name}*")
        if CANARY.encode() in file.read_bytes()
    ]


async def put_and_delete(start: Start, config: Config) -> None:
    alice = (await start(config)).alice
    await alice.put_video(segments=[segment(0, 1, content=CANARY)])
    report = await alice.share(note=CANARY)
    assert (await alice.delete(f"/api/shared-reports/{report['id']}")).status == 200
    assert (await alice.delete("/api/videos/job-1")).status == 200


async def test_log_of_an_idle_service_keeps_no_deleted_content(
    start: Start, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_WATCH_SECONDS", 0.05)
    await put_and_delete(start, config)
    async with asyncio.timeout(PATIENCE):
        while files_with_canary(config):
            await asyncio.sleep(0.05)


async def test_log_is_left_to_litestream(
    start: Start, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_WATCH_SECONDS", 0.001)
    looked = asyncio.Event()
    monkeypatch.setattr(DatabaseFiles, "replaced", lambda _: looked.set())
    await put_and_delete(start, replace(config, checkpointer="litestream"))
    for _ in range(3):
        looked.clear()
        await looked.wait()
    assert files_with_canary(config)


async def test_log_that_is_being_read_keeps_no_write_waiting(
    start: Start, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_WATCH_SECONDS", 1000.0)
    service = await start(config)
    await service.alice.put_video()
    writer = database_of(service.app).writer
    with closing(sqlite3.connect(config.sqlite_file, isolation_level=None)) as reading:
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM videos").fetchall()
        await service.alice.put_video("job-2")
        assert writer.connection is not None
        assert not await truncate_log(writer.connection, patience=0)
        await service.alice.put_video("job-3")
    assert await truncate_log(writer.connection, patience=0)
    [[timeout]] = await writer.fetch_all("PRAGMA busy_timeout")
    assert timeout == BUSY_MS


def test_log_watch_waits_for_the_end_of_writing_but_not_for_ever(tmp_path: Path) -> None:
    clock = FakeClock()
    watch = LogWatch(tmp_path / "x", clock)
    log = tmp_path / "x-wal"
    assert not watch.is_due(), "there is no log"
    log.write_bytes(b"1")
    assert [watch.is_due(), watch.is_due()] == [False, True]
    log.write_bytes(b"12")
    assert not watch.is_due()
    clock.advance(MAX_AGE)
    log.write_bytes(b"123")
    assert watch.is_due()
    log.write_bytes(b"")
    assert not watch.is_due()
    log.write_bytes(b"1234")
    assert not watch.is_due(), "its age begins anew"
