"""Retention: what has been dead for longer than it is to be kept goes, and nothing else does."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.cli import USER, rows
from support.database import database_in, execute_many, fetch
from support.harness import START, Caller, Service, Start
from support.links import write
from support.metrics import scrape
from support.process import create_database, get, new_key, request, run, serving

from service.config import Config
from service.domain import clock
from service.web.app_keys import CONFIG, REPOSITORIES

DAYS = 30
DAY = 86_400
ALL = "/api/shared-reports"
LATER, NEVER = "2030-01-01T00:00:00", "9999-01-01T00:00:00"
TABLES = ("shared_reports", "idempotency_keys")


@pytest.fixture
async def service(start: Start, config: Config) -> Service:
    service = await start(dataclasses.replace(config, retention_days=DAYS))
    await service.alice.put_video()
    return service


async def left(caller: Caller) -> list[str]:
    """The ids of the links that there are."""
    return [each["id"] for each in (await caller.get(ALL)).json]


def days_ago(days: float) -> str:
    return clock.to_text(clock.to_seconds(START) - days * DAY)


DIED: dict[str, Callable[[str], dict[str, Any]]] = {
    "expired": lambda at: {"expires_at": at},
    "expired, and swept long ago": lambda at: {"expires_at": at, "is_active": False},
    "switched off": lambda at: {"switched_off_at": at},
    "exhausted": lambda at: {"max_views": 2, "view_count": 2, "last_viewed_at": at},
    "scheduled for after its death": lambda at: {
        "not_before": LATER,
        "expires_at": at,
    },
    "expired, then switched off": lambda at: {"expires_at": at, "switched_off_at": days_ago(1)},
    "switched off, then expired": lambda at: {"switched_off_at": at, "expires_at": days_ago(1)},
    "exhausted, then expired": lambda at: {
        "max_views": 1,
        "view_count": 1,
        "last_viewed_at": at,
        "expires_at": days_ago(1),
    },
}


@pytest.mark.parametrize("how", DIED)
async def test_retention_keeps_a_dead_link_for_its_days_to_the_second(
    service: Service, how: str
) -> None:
    report, other = await service.alice.share(), await service.alice.share()
    write(service, report["id"], DIED[how](days_ago(DAYS)))
    await service.sweep()
    assert await left(service.alice) == [other["id"], report["id"]]
    await service.advance(0.999)
    await service.sweep()
    assert await left(service.alice) == [other["id"], report["id"]]
    await service.advance(0.001)
    await service.sweep()
    assert await left(service.alice) == [other["id"]]
    assert (await service.public.get(f"{ALL}/{report['share_hash']}")).status == 404
    assert (await service.public.get(f"{ALL}/{other['share_hash']}")).status == 200


LIVING: dict[str, dict[str, Any]] = {
    "plain": {},
    "not expired yet": {"expires_at": "2990-01-01T00:00:00"},
    "not begun yet": {"not_before": "2990-01-01T00:00:00"},
    "viewed long ago": {"view_count": 7, "last_viewed_at": days_ago(400)},
    "with views left": {"max_views": 8, "view_count": 7, "last_viewed_at": days_ago(400)},
    "with a label": {"label": "x"},
}


@pytest.mark.parametrize("how", LIVING)
async def test_retention_keeps_living_links(service: Service, how: str) -> None:
    report = await service.alice.share()
    write(service, report["id"], LIVING[how] | {"created_at": days_ago(4000)})
    await service.advance(400 * DAY)
    await service.sweep()
    assert await left(service.alice) == [report["id"]]


REVIVALS = {
    "expired": {"expires_at": None},
    "expired, and swept long ago": {"expires_at": "2990-01-01"},
    "switched off": {"is_active": True},
}


@pytest.mark.parametrize("how", REVIVALS)
async def test_retention_keeps_a_revived_link(service: Service, how: str) -> None:
    report = await service.alice.share()
    write(service, report["id"], DIED[how](days_ago(DAYS)))
    await service.sweep()
    answer = await service.alice.patch(f"{ALL}/{report['id']}", REVIVALS[how])
    assert answer.json["status"] == "active"
    await service.advance(10 * DAY)
    await service.sweep()
    assert await left(service.alice) == [report["id"]]
    # And what dies again is kept as long again.
    await service.alice.patch(f"{ALL}/{report['id']}", {"is_active": False})
    await service.advance(DAYS * DAY)
    await service.sweep()
    assert await left(service.alice) == [report["id"]]
    await service.advance(1)
    await service.sweep()
    assert await left(service.alice) == []


async def test_retention_keeps_an_exhausted_link_that_gets_more_views(service: Service) -> None:
    report = await service.alice.share()
    write(service, report["id"], DIED["exhausted"](days_ago(400)) | {"max_views": 3})
    await service.sweep()
    assert await left(service.alice) == [report["id"]]


async def test_retention_starts_when_a_lower_view_limit_exhausts_the_link(
    service: Service,
) -> None:
    report = await service.alice.share()
    write(service, report["id"], {"view_count": 7, "last_viewed_at": days_ago(400)})
    changed = await service.alice.patch(f"{ALL}/{report['id']}", {"max_views": 5})
    assert changed.json["status"] == "exhausted"
    await service.advance(DAYS * DAY)
    await service.sweep()
    assert await left(service.alice) == [report["id"]]
    await service.advance(1)
    await service.sweep()
    assert await left(service.alice) == []


async def test_retention_is_off_without_the_setting(start: Start) -> None:
    service = await start()
    await service.alice.put_video()
    for how in DIED.values():
        write(service, (await service.alice.share())["id"], how(days_ago(4000)))
    await service.advance(400 * DAY)
    await service.sweep()
    assert len(await left(service.alice)) == len(DIED)
    assert (await scrape(service.public))["shared_reports_sweeper_purged_links_total"] == 0


async def test_retention_counts_purged_links_and_keeps_their_replays(service: Service) -> None:
    body, key = {"video_id": "job-1"}, {"Idempotency-Key": "once"}
    first = await service.alice.post(ALL, body, headers=key)
    write(service, first.json["id"], DIED["expired"](days_ago(DAYS + 1)))
    await service.sweep()
    assert await left(service.alice) == []
    assert (await scrape(service.public))["shared_reports_sweeper_purged_links_total"] == 1
    again = await service.alice.post(ALL, body, headers=key)
    assert (again.body, again.headers["Idempotency-Replayed"]) == (first.body, "true")
    assert await left(service.alice) == []


async def test_retention_purges_expired_links_that_are_not_yet_deactivated(
    service: Service,
) -> None:
    report = await service.alice.share()
    write(service, report["id"], DIED["expired"](days_ago(DAYS)))
    retention = service.app[REPOSITORIES].retention
    for expected in (0, 1):
        assert await retention.count(DAYS) == expected
        assert await retention.purge(DAYS, 100) == expected
        await service.advance(1)
    assert await left(service.alice) == []


async def test_retention_looks_at_no_living_link(service: Service) -> None:
    """Or each new link that is to expire would pay for what is done about dead ones."""
    for how in LIVING.values():
        write(service, (await service.alice.share())["id"], how | {"created_at": START})
    died = "SELECT count(*) FROM shared_reports WHERE inactive_since IS NOT NULL"
    assert fetch(service.app[CONFIG].database, died) == [(0,)]


def fill(folder: Path) -> list[str]:
    """Make links of which some have long been dead; returns the hashes of the others."""
    create_database(folder)
    database, long_ago = database_in(folder), "2024-01-01T00:00:00"
    fetch(
        database,
        "INSERT INTO videos (id, user_id, job_id, name, status, selected_insights, created_at,"
        " updated_at, public_fields_json) VALUES (1, ?, 'job-1', 'x', 'completed', '[]', ?, ?, ?)",
        USER,
        long_ago,
        long_ago,
        '"job_id":"job-1","name":"x","status":"completed"',
    )
    links = (
        [(long_ago, True, None)] * 120
        + [(long_ago, False, None)] * 130
        + [(None, True, long_ago)] * 151
        + [(None, True, None), (NEVER, True, None), (None, True, NEVER)]
    )
    execute_many(
        database,
        "INSERT INTO shared_reports (user_id, video_id, share_hash, expires_at, is_active,"
        " switched_off_at, created_at) VALUES (?, 1, ?, ?, ?, ?, '2023-01-01T00:00:00')",
        [(USER, f"hash{n}", *link) for n, link in enumerate(links)],
    )
    fetch(
        database,
        "INSERT INTO idempotency_keys VALUES ('u', 'k', '', '', 1, 1, '2023-01-01T00:00:00', NULL)",
    )
    return [f"hash{n}" for n in (401, 402, 403)]


def test_purge_deletes_what_has_long_been_dead_and_a_dry_run_only_counts(folder: Path) -> None:
    kept = fill(folder)
    before = [rows(folder, f"SELECT * FROM {table}") for table in TABLES]
    purge = ("purge", "--dry-run")
    assert run(*purge, folder=folder, RETENTION_DAYS=30).stdout == "401 to purge\n"
    assert [rows(folder, f"SELECT * FROM {table}") for table in TABLES] == before
    assert run("purge", folder=folder, RETENTION_DAYS=30).stdout == "401 purged\n"
    assert rows(folder, "SELECT share_hash FROM shared_reports") == [(each,) for each in kept]
    assert rows(folder, "SELECT * FROM idempotency_keys") == before[1]
    assert run("purge", folder=folder, RETENTION_DAYS=30).stdout == "0 purged\n"


def test_purge_without_the_setting_does_nothing_and_says_so(folder: Path) -> None:
    fill(folder)
    result = run("purge", folder=folder)
    assert (result.returncode, result.stdout) == (1, "")
    assert "SHARED_REPORTS_RETENTION_DAYS is not set" in result.stderr
    assert rows(folder, "SELECT count(*) FROM shared_reports") == [(404,)]


def test_purge_works_beside_a_service(folder: Path) -> None:
    [_, alive, _] = fill(folder)
    key = new_key(folder, USER)
    with serving(folder) as server:
        assert get(f"{server.url}{ALL}/hash0")[0] == 410
        assert run("purge", folder=folder, RETENTION_DAYS=30).stdout == "401 purged\n"
        assert get(f"{server.url}{ALL}/hash0")[0] == 404
        assert get(f"{server.url}{ALL}/{alive}")[0] == 200
        body = {"video_id": "job-1"}
        assert request("POST", f"{server.url}{ALL}", body, Authorization=key)[0] == 201


def test_retention_runs_in_the_service(folder: Path) -> None:
    fill(folder)
    with serving(folder, RETENTION_DAYS=30) as server:
        assert server.wait_for("purged dead links")["count"] == 401
        assert get(f"{server.url}{ALL}/hash0")[0] == 404
