"""Readiness: each check fails by its own name, and a note makes nothing unready."""

import sqlite3
from contextlib import closing

import pytest
from support.harness import Service, segment

from service.config import Config
from service.repositories.sqlite import repositories
from service.repositories.sqlite.engine.health import wal_race
from service.repositories.sqlite.engine.migrate import SCHEMA
from service.web import operations
from service.web.app_keys import LIFECYCLE, SWEEPER

pytestmark = pytest.mark.own_service


async def failing(service: Service) -> dict[str, str]:
    """The checks that are not ok, by name; the status agrees with them."""
    answer = await service.public.get("/readyz")
    assert (answer.status, answer.json["status"]) in {(200, "ok"), (503, "unavailable")}
    checks = {name: said for name, said in answer.json["checks"].items() if said != "ok"}
    assert bool(checks) == (answer.status == 503)
    return checks


@pytest.mark.engine("sqlite")
async def test_readiness_names_another_schema_version(service: Service, config: Config) -> None:
    with closing(sqlite3.connect(config.sqlite_file)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA.version + 1}")
    said = f"The file has schema version {SCHEMA.version + 1}; this program knows {SCHEMA.version}."
    assert await failing(service) == {"schema_version": said}


@pytest.mark.engine("sqlite")
async def test_readiness_names_a_held_write_lock(
    service: Service, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "_CHECK_TIMEOUT", 0.1)
    with closing(sqlite3.connect(config.sqlite_file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert await failing(service) == {"database_write": "no answer within 0.1 s"}
        connection.execute("ROLLBACK")


async def test_readiness_names_a_dead_failed_or_late_background_task(service: Service) -> None:
    task = service.app[SWEEPER].task
    task.failures = 2
    assert await failing(service) == {"sweeper": "the last 2 passes failed"}
    task.failures = 0
    due, task.due = task.due, task.due - 1000
    assert await failing(service) == {"sweeper": "late"}
    task.due = due
    assert task._task is not None
    task._task.cancel()
    assert await failing(service) == {"sweeper": "not running"}


async def test_readiness_names_draining(service: Service) -> None:
    service.app[LIFECYCLE].begin_stopping()
    assert await failing(service) == {"lifecycle": "stopping"}
    assert (await service.public.get("/livez")).status == 200


@pytest.mark.parametrize(
    ("version", "races"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
    ],
)
def test_wal_race_knows_the_affected_versions(version: tuple[int, ...], races: bool) -> None:  # noqa: FBT001 - a column of the table
    note = wal_race(version)
    assert (note is not None) == races
    assert note is None or ".".join(map(str, version)) in note


@pytest.mark.engine("sqlite")
async def test_readiness_shows_the_sqlite_version_and_notes_its_fault(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repositories, "wal_race", lambda: "beware")
    answer = await service.public.get("/readyz")
    assert (answer.status, answer.json["notes"]) == (200, ["beware"])
    assert answer.json["sqlite"] == sqlite3.sqlite_version
    monkeypatch.setattr(repositories, "wal_race", lambda: None)
    assert "notes" not in (await service.public.get("/readyz")).json


@pytest.mark.engine("sqlite")
async def test_readiness_notes_a_growing_log(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repositories, "wal_race", lambda: None)
    monkeypatch.setattr("service.repositories.sqlite.engine.health._WAL_ALARM_BYTES", 2**20)
    await service.alice.put_video(segments=[segment(0, 1, content="x" * 2**19)])
    assert "notes" not in (await service.public.get("/readyz")).json
    await service.alice.put_video("job-2", segments=[segment(0, 1, content="x" * 2**20)])
    answer = await service.public.get("/readyz")
    assert answer.status == 200
    [note] = answer.json["notes"]
    assert note.startswith("The write-ahead log has 0.0 GiB: ")
