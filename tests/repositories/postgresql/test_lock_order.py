"""Whatever instances write at once for one user, none waits in a circle: locks have one order."""

import asyncio
import dataclasses

import pytest
from support.harness import Caller, Start, export
from support.postgresql import Databases

from service.config import Config

pytestmark = pytest.mark.engine("postgresql")

LINKS = "/api/shared-reports"
ROUNDS = 12


async def write(caller: Caller, number: int) -> None:
    """All that changes a link or a video, again and again."""
    job_id = f"job-{number % 3}"
    for _ in range(ROUNDS):
        link = (await caller.post(LINKS, {"video_id": job_id, "max_views": 2})).json
        await caller.post(f"{LINKS}/{link['share_hash']}/unlock", {})
        await caller.put(f"/api/videos/{job_id}", export())
        await caller.patch(f"{LINKS}/{link['id']}", {"is_active": False})
        await caller.post(f"{LINKS}/{link['id']}/rotate")
        await caller.delete(f"{LINKS}/{link['id']}")


@pytest.mark.parametrize("quota", [None, 1_000_000])
async def test_writes_of_two_instances_never_deadlock(
    start: Start, config: Config, postgresql_databases: Databases, quota: int | None
) -> None:
    config = dataclasses.replace(config, max_links_per_user=quota, max_videos_per_user=quota)
    one, two = await start(config), await start(config)
    callers = [Caller(each.client, one.alice.key) for each in (one, two)]
    await one.alice.put("/api/events", {"enabled": True})
    for number in range(3):
        await one.alice.put_video(f"job-{number}")
    before = postgresql_databases.server.log.count("deadlock detected")
    await asyncio.gather(*(write(callers[number % 2], number) for number in range(8)))
    assert postgresql_databases.server.log.count("deadlock detected") == before
