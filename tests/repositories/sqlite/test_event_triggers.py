"""Events in SQLite as it is in production: by its own clock, with a schema that is not trusted."""

import asyncio
import sqlite3
import time
from contextlib import closing

import pytest
from support.events import enable, events_of, tell_views, types_of
from support.harness import Service, Start
from support.links import ROUTES

from service.config import Config
from service.domain.clock import to_text
from service.repositories.sqlite.engine.read_connection import SNAPSHOT_SECONDS
from service.web.app_keys import CONFIG


@pytest.fixture
async def service(start: Start, config: Config) -> Service:
    service = await start(config, clock=time.time)
    await service.alice.put_video()
    return service


async def test_triggers_need_no_trust_and_have_the_time(service: Service) -> None:
    alice, began = service.alice, to_text(time.time())
    await enable(alice)
    link = await alice.share(expires_at=to_text(time.time() + 3600))
    path = f"/api/shared-reports/{link['id']}"
    for _ in range(2):
        await service.public.get(ROUTES[0].format(link["share_hash"]))
        await tell_views(service)
    with closing(sqlite3.connect(service.app[CONFIG].sqlite_file)) as connection, connection:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute(  # the minute is over; an UPDATE would tell the views
            "REPLACE INTO event_views SELECT link_id, '', view_count, bot_view_count"
            " FROM event_views"
        )
    await asyncio.sleep(2 * SNAPSHOT_SECONDS)
    await tell_views(service)
    await alice.patch(path, {"max_views": 3})
    await service.public.post(f"{ROUTES[0].format(link['share_hash'])}/unlock", {})
    await alice.post(f"{path}/rotate")
    with closing(sqlite3.connect(service.app[CONFIG].sqlite_file)) as connection, connection:
        connection.execute("UPDATE shared_reports SET expires_at = '2025-01-01T00:00:00'")
    await service.sweep()
    await alice.put_video()
    await alice.delete("/api/videos/job-1")
    await service.sweep()
    assert await types_of(alice) == [
        *("created", "viewed", "viewed", "changed", "unlocked", "exhausted", "rotated"),
        *("changed", "expired", "replaced", "deleted", "revoked"),
    ]
    assert {event["created_at"] for event in await events_of(alice)} <= {
        to_text(second) for second in range(int(time.time()) - 60, int(time.time()) + 1)
    }
    assert min(event["created_at"] for event in await events_of(alice)) >= began


async def test_events_tell_of_what_another_program_changes(service: Service) -> None:
    """Such as the shell of SQLite: the triggers use no function of ours."""
    alice = service.alice
    await enable(alice)
    link = await alice.share()
    with closing(sqlite3.connect(service.app[CONFIG].sqlite_file)) as connection, connection:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("UPDATE shared_reports SET label = 'x' WHERE id = ?", [link["id"]])
        connection.execute("DELETE FROM shared_reports WHERE id = ?", [link["id"]])
    assert await types_of(alice) == ["created", "changed", "revoked"]
