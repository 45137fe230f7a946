"""The order of events in PostgreSQL: a reader that keeps its position misses none."""

import asyncio
import random
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest
from support.events import EVENTS, enable, events_of, tell_views
from support.harness import Caller, Service, Start
from support.links import ROUTES

from service.config import Config
from service.domain.postgresql_url import PostgresqlUrl
from service.web.app_keys import CONFIG, VIEWS

pytestmark = pytest.mark.engine("postgresql")

_SHARE = """INSERT INTO shared_reports (user_id, video_id, share_hash, created_at)
    SELECT $1, 1, $2, now()"""


async def connect(service: Service) -> asyncpg.Connection:
    url = service.app[CONFIG].database
    assert isinstance(url, PostgresqlUrl)
    return await asyncpg.connect(url.text)


@pytest.fixture
async def connections(service: Service) -> AsyncIterator[list[asyncpg.Connection]]:
    opened = [await connect(service) for _ in range(3)]
    yield opened
    for connection in opened:
        await connection.close()


async def test_event_of_a_later_commit_has_a_larger_id(
    service: Service, connections: list[asyncpg.Connection]
) -> None:
    """A transaction waits with its ids for one of the same user that has drawn ids."""
    await service.alice.put_video()
    await enable(service.alice)
    await enable(service.bob)
    first, second, third = connections
    transaction = first.transaction()
    await transaction.start()
    await first.execute(_SHARE, service.alice.user_id, "a" * 16)
    later = asyncio.create_task(second.execute(_SHARE, service.alice.user_id, "b" * 16))
    await third.execute(_SHARE, service.bob.user_id, "c" * 16)  # does not wait
    await asyncio.sleep(0.05)
    assert not later.done()
    assert await events_of(service.alice) == []
    await transaction.commit()
    await later
    events = await events_of(service.alice)
    assert [event["data"]["id"] == "1" for event in events] == [True, False]
    [event] = await events_of(service.bob)
    assert int(events[0]["id"]) < int(event["id"]) < int(events[1]["id"])


async def test_reader_that_keeps_its_position_misses_no_event(start: Start, config: Config) -> None:
    """While two instances create links of two users, in shared statements, and delete them."""
    services = [await start(config), await start(config)]
    owners = [services[0].alice, services[0].bob]
    for owner in owners:
        await owner.put_video()
        await enable(owner)
    over = asyncio.Event()
    seen: list[list[str]] = [[], []]

    async def write(owner: Caller, client: Service) -> None:
        caller = Caller(client.client, owner.key)
        for _ in range(10):
            link = await caller.share()
            if random.random() < 0.5:
                await caller.delete(f"/api/shared-reports/{link['id']}")

    async def read(number: int) -> None:
        position = "0"
        while True:
            is_last = over.is_set()
            page = (await owners[number].get(EVENTS, params={"after": position})).json
            seen[number] += [event["id"] for event in page["events"]]
            position = page["next"]
            if is_last and not page["has_more"]:
                return

    readers = [asyncio.create_task(read(number)) for number in range(2)]
    writers = (write(owner, client) for owner in owners for client in services for _ in range(4))
    await asyncio.gather(*writers)
    over.set()
    await asyncio.gather(*readers)
    for owner, ids in zip(owners, seen, strict=True):
        assert ids == [event["id"] for event in await events_of(owner)]
        assert len(ids) >= 80


async def test_views_that_are_being_counted_are_told_later(
    service: Service, connections: list[asyncpg.Connection]
) -> None:
    """The minute of a link does not end between a count and its commit: no view is lost."""
    alice = service.alice
    await alice.put_video()
    await enable(alice)
    link = await alice.share()
    await service.public.get(ROUTES[0].format(link["share_hash"]))
    await service.app[VIEWS].write()
    await service.advance(61)
    first = connections[0]
    transaction = first.transaction()
    await transaction.start()
    await first.execute("SELECT set_config('shared_reports.now', '2025-01-15T10:01:01', true)")
    await first.execute("UPDATE shared_reports SET view_count = view_count + 4")
    telling = asyncio.create_task(tell_views(service))
    await asyncio.sleep(0.05)
    assert not telling.done()
    await transaction.commit()
    await telling
    await service.advance(61)
    await tell_views(service)
    viewed = await events_of(alice, type="shared_report.viewed")
    assert [event["data"]["new_views"] for event in viewed] == [1, 4]


async def test_events_have_the_time_of_the_server(start: Start, config: Config) -> None:
    service = await start(config, clock=time.time)
    await service.alice.put_video()
    await enable(service.alice)
    link = await service.alice.share()
    await service.alice.delete(f"/api/shared-reports/{link['id']}")
    created, revoked = await events_of(service.alice)
    assert created["created_at"] == link["created_at"] <= revoked["created_at"]
