"""Quotas: what a user may have is exact, also if calls come at once, and costs nobody else."""

import asyncio
import dataclasses
from typing import Any

import asyncpg
import pytest
from support.database import fetch
from support.harness import Caller, Response, Service, Start, is_problem, segment

from service.config import Config
from service.domain.postgresql_url import PostgresqlUrl
from service.web.app_keys import VIEWS

LINKS = "/api/shared-reports"
_WAITING = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock'"""


async def start_with(start: Start, config: Config, **quotas: Any) -> Service:
    service = await start(dataclasses.replace(config, **quotas))
    await service.alice.put_video()
    return service


async def create(caller: Caller, **body: object) -> Response:
    return await caller.post(LINKS, {"video_id": "job-1"} | body)


async def usage(caller: Caller, name: str) -> tuple[int, int | None]:
    answer = (await caller.get("/api/usage")).json
    assert list(answer) == ["links", "videos", "bytes"]
    return answer[name]["used"], answer[name]["limit"]


def is_full(answer: Response, *words: str) -> bool:
    assert is_problem(answer, 409, "conflict")
    return all(word in answer.json["detail"] for word in words)


def recount(config: Config, user_id: str) -> list[tuple[Any, ...]]:
    """What a user has, counted by the rows."""
    return fetch(
        config.database,
        "SELECT (SELECT count(*) FROM shared_reports"
        "         WHERE user_id = ? AND inactive_since IS NULL),"
        " (SELECT count(*) FROM videos WHERE user_id = ?)",
        user_id,
        user_id,
    )


async def test_usage_is_counted_without_quotas(service: Service, config: Config) -> None:
    alice, clock = service.alice, service.clock
    await alice.put_video(segments=[segment(0, 1, content="x" * 1000)])
    made = [await alice.share(max_views=1) for _ in range(4)]
    brief = await alice.share(expires_at="2025-01-15T10:00:05")
    assert await usage(alice, "links") == (5, None)
    assert await usage(alice, "videos") == (1, None)
    size, limit = await usage(alice, "bytes")
    assert (size, limit) == (len((await alice.get("/api/videos/job-1/segments")).body), None)
    assert await usage(service.bob, "links") == (0, None)
    await service.public.get(f"{LINKS}/{made[0]['share_hash']}")  # the only view
    await alice.patch(f"{LINKS}/{made[1]['id']}", {"is_active": False})
    await alice.delete(f"{LINKS}/{made[2]['id']}")
    clock.advance(10)
    await service.sweep()
    assert await usage(alice, "links") == (1, None)
    await alice.patch(f"{LINKS}/{brief['id']}", {"expires_at": "2026-01-01"})
    await alice.patch(f"{LINKS}/{made[0]['id']}", {"max_views": 2})
    await alice.patch(f"{LINKS}/{made[1]['id']}", {"is_active": True})
    assert await usage(alice, "links") == (4, None)
    assert recount(config, alice.user_id) == [(4, 1)]
    await alice.put_video(segments=[])
    assert await usage(alice, "bytes") == (2, None)
    await alice.delete("/api/videos/job-1")
    await service.sweep()
    assert [await usage(alice, name) for name in ("links", "videos", "bytes")] == [(0, None)] * 3


async def test_link_quota_is_exact_for_calls_at_once(start: Start, config: Config) -> None:
    service = await start_with(start, config, max_links_per_user=7)
    alice, bob = service.alice, service.bob
    await bob.put_video()
    keyed = [
        alice.post(LINKS, {"video_id": "job-1"}, headers={"Idempotency-Key": str(n)})
        for n in range(10)
    ]
    unknown = [alice.post(LINKS, {"video_id": "none"}) for _ in range(10)]
    others = [create(bob) for _ in range(5)]
    answers = await asyncio.gather(*others, *(create(alice) for _ in range(20)), *keyed, *unknown)
    assert [answer.status for answer in answers[:5]] == [201] * 5
    assert sorted(answer.status for answer in answers[5:35]) == [201] * 7 + [409] * 23
    assert {answer.status for answer in answers[35:]} <= {404, 409}
    [refused] = [answer for answer in answers if answer.status == 409][:1]
    assert is_full(refused, "you have 7", "may have 7", "SHARED_REPORTS_MAX_LINKS_PER_USER")
    assert await usage(alice, "links") == (7, 7)
    assert len((await alice.get(LINKS)).json) == 7


@pytest.mark.engine("postgresql")
async def test_link_quota_is_exact_over_instances(start: Start, config: Config) -> None:
    service = await start_with(start, config, max_links_per_user=9)
    other = await start(dataclasses.replace(config, max_links_per_user=9))
    callers = [service.alice, Caller(other.client, service.alice.key)]
    assert isinstance(config.database, PostgresqlUrl)
    connection = await asyncpg.connect(config.database.text)
    try:
        async with connection.transaction():  # both statements start, and wait for the video
            await connection.execute("SELECT 1 FROM videos FOR UPDATE")
            creating = asyncio.gather(*(create(callers[n % 2]) for n in range(60)))
            async with asyncio.timeout(10):
                while await connection.fetchval(_WAITING) < 2:
                    await asyncio.sleep(0.005)
    finally:
        await connection.close()
    answers = await creating
    assert sorted(answer.status for answer in answers) == [201] * 9 + [409] * 51
    made = [answer.json["id"] for answer in answers if answer.status == 201]
    for link in made:
        await callers[0].patch(f"{LINKS}/{link}", {"is_active": False})
    changes = [
        callers[n % 2].patch(f"{LINKS}/{link}", {"is_active": True}) for n, link in enumerate(made)
    ]
    answers = await asyncio.gather(*changes, *(create(callers[n % 2]) for n in range(20)))
    assert sum(answer.status in {200, 201} for answer in answers) == 9
    assert await usage(callers[1], "links") == (9, 9)
    assert recount(config, service.alice.user_id) == [(9, 1)]


async def test_link_quota_has_room_again_for_a_dead_link(start: Start, config: Config) -> None:
    service = await start_with(start, config, max_links_per_user=1)
    alice = service.alice

    async def end(report: Any, way: str) -> None:
        path = f"{LINKS}/{report['id']}"
        if way == "revoke":
            await alice.delete(path)
        elif way == "switch off":
            await alice.patch(path, {"is_active": False})
        elif way == "exhaust":
            await service.public.get(f"{LINKS}/{report['share_hash']}")
        else:
            await service.advance(60)
            await service.sweep()

    for way in ("revoke", "switch off", "exhaust", "expire"):
        soon = "2025-01-15T10:00:30" if way == "expire" else None
        made = await create(alice, expires_at=soon, max_views=1)
        assert made.status == 201, way
        assert is_full(await create(alice), "quota of links")
        await end(made.json, way)
    assert (await create(alice)).status == 201


async def test_link_quota_holds_for_a_link_that_would_live_again(
    start: Start, config: Config
) -> None:
    service = await start_with(start, config, max_links_per_user=1)
    alice = service.alice
    off, spent = (await create(alice)).json, None
    await alice.patch(f"{LINKS}/{off['id']}", {"is_active": False})
    spent = (await create(alice, max_views=1)).json
    await service.public.get(f"{LINKS}/{spent['share_hash']}")
    living = (await create(alice)).json
    for dead, change in ((off, {"is_active": True}), (spent, {"max_views": 2})):
        answer = await alice.patch(f"{LINKS}/{dead['id']}", change)
        assert is_full(answer, "quota of links", "you have 1", "may have 1")
    assert (await alice.patch(f"{LINKS}/{off['id']}", {"label": "still off"})).status == 200
    assert (await alice.patch(f"{LINKS}/{living['id']}", {"label": "living"})).status == 200
    await alice.delete(f"{LINKS}/{living['id']}")
    assert (await alice.patch(f"{LINKS}/{off['id']}", {"is_active": True})).status == 200
    assert await usage(alice, "links") == (1, 1)


async def test_replay_needs_no_room_in_the_quota(start: Start, config: Config) -> None:
    service = await start_with(start, config, max_links_per_user=1)
    key = {"Idempotency-Key": "k"}
    first = await service.alice.post(LINKS, {"video_id": "job-1"}, headers=key)
    again = await service.alice.post(LINKS, {"video_id": "job-1"}, headers=key)
    assert (again.status, again.json) == (201, first.json)
    other = await service.alice.post(LINKS, {"video_id": "job-1"}, headers={"Idempotency-Key": "o"})
    assert is_full(other, "quota of links")


async def test_link_quota_of_none_creates_no_link(start: Start, config: Config) -> None:
    service = await start_with(start, config, max_links_per_user=0)
    assert is_full(await create(service.alice), "you have 0", "may have 0")
    unknown = await service.alice.post(LINKS, {"video_id": "none"})
    assert is_problem(unknown, 404, "not-found")


async def test_video_quota_is_exact_and_lets_replace(start: Start, config: Config) -> None:
    service = await start_with(start, config, max_videos_per_user=3)
    export = {"name": "x", "status": "completed"}
    answers = await asyncio.gather(
        *(service.alice.put(f"/api/videos/new-{n}", export) for n in range(9))
    )
    assert sorted(answer.status for answer in answers) == [201] * 2 + [409] * 7
    [refused] = [answer for answer in answers if answer.status == 409][:1]
    assert is_full(refused, "you have 3", "may have 3", "SHARED_REPORTS_MAX_VIDEOS_PER_USER")
    assert (await service.alice.put("/api/videos/job-1", export)).status == 200
    await service.alice.delete("/api/videos/job-1")
    assert (await service.alice.put("/api/videos/job-1", export)).status == 201
    assert await usage(service.alice, "videos") == (3, 3)


@pytest.mark.parametrize("size", [3_000, 400_000])
async def test_byte_quota_counts_analyses_of_any_size(
    start: Start, config: Config, size: int
) -> None:
    """One below and one above what is stored in parts."""
    service = await start_with(start, config, max_bytes_per_user=2 * size)
    alice = service.alice

    async def put(job_id: str, characters: int) -> Response:
        body = {"name": "x", "segments": [segment(0, 1, content="x" * characters)]}
        return await alice.put(f"/api/videos/{job_id}", body | {"status": "completed"})

    assert (await put("a", size)).status == 201
    assert is_full(await put("b", size), "quota of bytes", "SHARED_REPORTS_MAX_BYTES_PER_USER")
    assert (await alice.get("/api/videos/b")).status == 404
    assert (await put("a", size + size // 2)).status == 200
    assert (await put("a", size)).status == 200
    assert (await put("b", size // 2)).status == 201
    stored = [
        len((await alice.get(f"/api/videos/{job}/segments")).body) for job in ("a", "b", "job-1")
    ]
    assert await usage(alice, "bytes") == (sum(stored), 2 * size)
    half_of_the_room = (2 * size - sum(stored)) // 2
    answers = await asyncio.gather(*(put(f"c{n}", half_of_the_room) for n in range(6)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 5
    await alice.delete("/api/videos/a")
    assert (await put("d", size)).status == 201


async def test_views_in_memory_exhaust_a_link_in_the_usage(service: Service) -> None:
    """A limit below the views that are counted already ends the link in the same statement."""
    await service.alice.put_video()
    report = await service.alice.share()
    for _ in range(3):
        await service.public.get(f"{LINKS}/{report['share_hash']}")
    await service.alice.patch(f"{LINKS}/{report['id']}", {"max_views": 2})
    assert await usage(service.alice, "links") == (0, None)
    await service.app[VIEWS].write()
    assert await usage(service.alice, "links") == (0, None)


async def test_bulk_revocation_leaves_the_usage_with_its_rows(
    service: Service, config: Config
) -> None:
    await service.alice.put_video()
    for _ in range(3):
        await service.alice.share()
    await service.alice.delete("/api/videos/job-1/shared-reports")
    await service.sweep()
    assert await usage(service.alice, "links") == (0, None)
    assert recount(config, service.alice.user_id) == [(0, 1)]
