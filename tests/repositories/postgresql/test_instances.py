"""Several instances on one database keep the promises together."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import asyncpg
import pytest
from support.database import DatabaseSetting, fetch
from support.harness import Caller, Service, Start

from service.config import Config
from service.domain.postgresql_url import PostgresqlUrl
from service.web.app_keys import REPOSITORIES, SWEEPER, VIEWS

pytestmark = pytest.mark.engine("postgresql")

LINKS = "/api/shared-reports"
ROUNDS = 20
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


class Instances(NamedTuple):
    """Two instances; Alice's key works at both."""

    one: Service
    other: Service
    alice_there: Caller
    """Alice at the other instance."""

    async def status_there(self, share_hash: str) -> int:
        return (await self.other.public.get(f"{LINKS}/{share_hash}")).status


@pytest.fixture
async def instances(start: Start, config: Config) -> Instances:
    unlimited = Config(database=config.database, lookup_rate_limit=None)
    one, other = await start(unlimited), await start(unlimited)
    await one.alice.put_video()
    alice = Caller(other.client, one.alice.key, one.alice.user_id)
    return Instances(one, other, alice)


End = Callable[[Caller, Any], Awaitable[Any]]
ENDS: dict[str, End] = {
    "revoke": lambda alice, report: alice.delete(f"{LINKS}/{report['id']}"),
    "rotate": lambda alice, report: alice.post(f"{LINKS}/{report['id']}/rotate"),
    "switch off": lambda alice, report: alice.patch(
        f"{LINKS}/{report['id']}", {"is_active": False}
    ),
    "revoke all": lambda alice, _: alice.delete("/api/videos/job-1/shared-reports"),
    "delete the video": lambda alice, _: alice.delete("/api/videos/job-1"),
}


@pytest.mark.parametrize("ending", ENDS)
async def test_instance_shows_no_link_that_another_one_has_ended(
    instances: Instances, ending: str
) -> None:
    """Viewers never stop asking; what begins after the acknowledgement is not shown."""
    report = await instances.one.alice.share()
    assert await instances.status_there(report["share_hash"]) == 200
    ended = asyncio.Event()

    async def watch() -> list[int]:
        late: list[int] = []
        while len(late) < ROUNDS:
            begins_after = ended.is_set()
            status = await instances.status_there(report["share_hash"])
            if begins_after:
                late.append(status)
        return late

    watching = [asyncio.create_task(watch()) for _ in range(4)]
    assert (await ENDS[ending](instances.one.alice, report)).status == 200
    ended.set()
    late = [status for statuses in await asyncio.gather(*watching) for status in statuses]
    assert set(late) == {404}


async def test_key_that_one_instance_has_deleted_is_dead_at_the_other(
    instances: Instances,
) -> None:
    created = (await instances.one.alice.post("/api/keys", {"name": "short"})).json
    caller = Caller(instances.other.client, created["raw_key"])
    assert (await caller.get("/api/videos")).status == 200
    assert (await instances.one.alice.delete(f"/api/keys/{created['id']}")).status == 200
    assert (await caller.get("/api/videos")).status == 401


async def test_unlocks_of_all_instances_are_as_many_as_max_views(
    instances: Instances, config: Config
) -> None:
    """A crowd opens several links at both instances; their statements meet at the rows."""
    reports = [await instances.one.alice.share(max_views=views) for views in (1, 5, 12)]

    async def unlock(instance: Service, report: Any) -> int:
        return (await instance.public.post(f"{LINKS}/{report['share_hash']}/unlock", {})).status

    assert isinstance(config.database, PostgresqlUrl)
    blocker = await asyncpg.connect(config.database.text)
    async with blocker.transaction():
        await blocker.execute("SELECT FROM shared_reports FOR UPDATE")
        crowd = [
            asyncio.create_task(unlock(instance, report))
            for report in reports
            for _ in range(10)
            for instance in instances[:2]
        ]
        while await blocker.fetchval(WAITING) < 2:
            await asyncio.sleep(0.01)
    await blocker.close()
    statuses = await asyncio.gather(*crowd)
    granted = [statuses[start : start + 20].count(200) for start in (0, 20, 40)]
    assert granted == [1, 5, 12]
    assert set(statuses) == {200, 410}


async def test_token_of_one_instance_opens_the_link_at_the_other(instances: Instances) -> None:
    report = await instances.one.alice.share(max_views=1)
    path = f"{LINKS}/{report['share_hash']}"
    token = (await instances.one.public.post(f"{path}/unlock", {})).json["token"]
    there = await instances.other.public.get(path, headers={"X-Share-Token": token})
    assert there.status == 200


async def test_idempotency_key_makes_one_link_at_all_instances(instances: Instances) -> None:
    callers = (instances.one.alice, instances.alice_there)
    for number in range(ROUNDS):
        headers = {"Idempotency-Key": f"key {number}"}
        answers = await asyncio.gather(
            *(caller.post(LINKS, {"video_id": "job-1"}, headers=headers) for caller in callers)
        )
        assert {answer.json["id"] for answer in answers} == {answers[0].json["id"]}
    assert len((await instances.one.alice.get("/api/videos/job-1/shared-reports")).json) == ROUNDS


async def test_views_at_all_instances_are_counted(instances: Instances) -> None:
    report = await instances.one.alice.share()
    for instance in instances[:2]:
        for _ in range(3):
            await instance.public.get(f"{LINKS}/{report['share_hash']}")
        await instance.app[VIEWS].write()
    [link] = (await instances.one.alice.get("/api/videos/job-1/shared-reports")).json
    assert link["view_count"] == 6


async def test_link_created_while_its_video_is_deleted_is_dead(
    instances: Instances, database: DatabaseSetting
) -> None:
    """Either nothing was created, or it died with the video; no link to nothing stays alive."""
    for number in range(ROUNDS):
        await instances.one.alice.put_video(f"video {number}")
        created, _ = await asyncio.gather(
            instances.alice_there.post(LINKS, {"video_id": f"video {number}"}),
            instances.one.alice.delete(f"/api/videos/video {number}"),
        )
        assert created.status in {201, 404}
        if created.status == 201:
            assert await instances.status_there(created.json["share_hash"]) == 404
    await instances.one.sweep()
    assert fetch(database, "SELECT count(*) FROM shared_reports") == [(0,)]
    assert fetch(database, "SELECT count(*) FROM videos") == [(1,)]


@pytest.mark.parametrize("ending", ["DELETE FROM videos", "UPDATE videos SET user_id = 'deleted'"])
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "x"}])
async def test_create_that_meets_the_deletion_of_its_video_is_404(
    instances: Instances, config: Config, ending: str, headers: dict[str, str]
) -> None:
    """The create has begun when another instance deletes the video, or then its row."""
    assert isinstance(config.database, PostgresqlUrl)
    other = await asyncpg.connect(config.database.text)
    async with other.transaction():
        await other.execute(ending)
        creating = asyncio.create_task(
            instances.one.alice.post(LINKS, {"video_id": "job-1"}, headers=headers)
        )
        while not await other.fetchval(WAITING):
            await asyncio.sleep(0.01)
    await other.close()
    assert (await creating).status == 404


async def test_sweep_at_one_instance_leaves_nothing_to_the_other(instances: Instances) -> None:
    for _ in range(3):
        await instances.one.alice.share(expires_at="2025-01-15T10:00:01")
    for instance in instances[:2]:
        instance.clock.advance(2)
    await asyncio.gather(instances.one.sweep(), instances.other.sweep())
    assert await instances.one.app[REPOSITORIES].links.count_expired() == 0
    swept = [instance.app[SWEEPER].deactivated for instance in instances[:2]]
    assert sum(swept) == 3
