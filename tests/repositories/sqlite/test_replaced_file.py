"""A file that is replaced under the service: a complete copy is opened, no other file is."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.harness import Service, database_of
from support.process import (
    PATIENCE,
)

from service.config import Config
from service.repositories.sqlite.engine import backup
from service.web.app_keys import REPOSITORIES, VIEWS


@pytest.fixture
async def replaced(service: Service, config: Config, tmp_path: Path) -> Callable[[str], None]:
    """Puts a copy, changed by some SQL, in the place of the database."""
    await service.alice.put_video()
    await service.alice.share()

    def replaced(sql: str) -> None:
        copy = tmp_path / "copy"
        backup.copy(config.sqlite_file, copy, replace=True)
        with closing(sqlite3.connect(copy)) as connection:
            connection.executescript(sql)
        config.sqlite_file.rename(tmp_path / "old")
        copy.rename(config.sqlite_file)

    return replaced


async def test_service_does_not_adopt_an_empty_database(
    service: Service, config: Config, replaced: Callable[[str], None]
) -> None:
    replaced("DELETE FROM api_keys; DELETE FROM videos; DELETE FROM shared_reports")
    answer = await service.alice.post("/api/shared-reports", {"video_id": "job-1"})
    assert answer.status == 503
    health = (await service.public.get("/readyz")).json["checks"]
    assert health["database_write"] == "test.sqlite3 was replaced by an empty database."
    assert (await service.alice.get("/api/videos/job-1")).status == 200
    config.sqlite_file.with_name("old").rename(config.sqlite_file)
    await service.alice.share()


async def test_service_does_not_adopt_an_incomplete_copy(
    service: Service, config: Config, replaced: Callable[[str], None]
) -> None:
    replaced("")
    os.truncate(config.sqlite_file, config.sqlite_file.stat().st_size - 4096)
    assert (await service.alice.put("/api/videos/x", {"video_name": "x"})).status == 503
    health = (await service.public.get("/readyz")).json["checks"]
    assert health["database_write"].startswith("test.sqlite3 was replaced by an incomplete copy")
    config.sqlite_file.with_name("old").rename(config.sqlite_file)
    await service.alice.share()


async def test_service_does_not_adopt_a_file_with_hard_links(
    service: Service, config: Config, replaced: Callable[[str], None], tmp_path: Path
) -> None:
    """SQLite keeps a log for each name: a second process by the other one would be unseen."""
    replaced("UPDATE videos SET name = 'restored'")
    other = tmp_path / "other"
    other.hardlink_to(config.sqlite_file)
    before = config.sqlite_file.read_bytes()
    assert (await service.alice.put("/api/videos/x", {"video_name": "x"})).status == 503
    health = (await service.public.get("/readyz")).json["checks"]
    reason = "test.sqlite3 was replaced by a file with 2 names (hard links)."
    assert health["database_write"] == reason
    assert (await service.alice.get("/api/videos/job-1")).json["name"] != "restored"
    assert config.sqlite_file.read_bytes() == before
    other.unlink()
    await service.alice.put_video("x")
    assert (await service.alice.get("/api/videos/job-1")).json["name"] == "restored"


async def test_views_in_memory_are_dropped_by_a_restore(
    service: Service, replaced: Callable[[str], None]
) -> None:
    """Another link has the id there, and would be exhausted before anybody saw it."""
    report = await service.alice.share()
    for _ in range(9):
        await service.public.get(f"/api/shared-reports/{report['share_hash']}")
    replaced("UPDATE shared_reports SET max_views = 5, share_hash = 'B' || share_hash")
    await service.app[VIEWS].write()  # this statement is what switches to the new file
    await service.app[VIEWS].write()
    listed = (await service.alice.get("/api/videos/job-1/shared-reports")).json
    assert [(link["max_views"], link["view_count"]) for link in listed] == [(5, 0), (5, 0)]


async def test_key_use_in_memory_is_dropped_by_a_restore(
    service: Service, replaced: Callable[[str], None]
) -> None:
    replaced("UPDATE api_keys SET last_used_at = NULL")
    await service.app[REPOSITORIES].api_keys.record_use()
    rows = await database_of(service.app).read_worker.fetch_all("SELECT last_used_at FROM api_keys")
    assert {row[0] for row in rows} == {None}


async def test_signing_key_is_that_of_the_restored_database(
    service: Service, replaced: Callable[[str], None]
) -> None:
    """A key that leaked is exchanged in a copy: no token that was signed with it is valid."""
    report = await service.alice.share(max_views=9)
    path = f"/api/shared-reports/{report['share_hash']}"
    token = (await service.public.post(f"{path}/unlock", {})).json["token"]
    segments = f"{path}/segments"
    assert (await service.public.get(segments, headers={"X-Share-Token": token})).status == 200
    replaced("UPDATE signing_key SET key = randomblob(32)")
    await service.alice.put_video("other")  # this write is what switches to the new file
    assert (await service.public.get(segments, headers={"X-Share-Token": token})).status == 401
    token = (await service.public.post(f"{path}/unlock", {})).json["token"]
    assert (await service.public.get(segments, headers={"X-Share-Token": token})).status == 200


async def test_service_opens_a_restored_copy_while_nothing_is_written(
    service: Service, replaced: Callable[[str], None]
) -> None:
    database = database_of(service.app)
    await service.app[REPOSITORIES].api_keys.record_use()  # or the next round would write it
    replaced("UPDATE videos SET name = 'restored'")
    query = "SELECT name FROM videos WHERE name = 'restored'"
    async with asyncio.timeout(PATIENCE):
        while not database.reader.fetch_all(query):
            await asyncio.sleep(0.01)
    assert (await service.public.get("/readyz")).status == 200


async def test_views_survive_a_log_that_is_deleted(service: Service, config: Config) -> None:
    """The database is the same one."""
    await service.alice.put_video()
    report = await service.alice.share()
    await service.public.get(f"/api/shared-reports/{report['share_hash']}")
    config.sqlite_file.with_name(f"{config.sqlite_file.name}-wal").unlink()
    await service.app[VIEWS].write()
    listed = (await service.alice.get("/api/videos/job-1/shared-reports")).json
    assert [link["view_count"] for link in listed] == [1]
