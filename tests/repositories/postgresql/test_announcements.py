"""Instances announce earlier expiries to each other."""

import asyncio

import pytest
from support.database import DatabaseSetting, fetch
from support.harness import Service, Start

from service.config import Config
from service.web.app_keys import REPOSITORIES, SWEEPER

pytestmark = pytest.mark.engine("postgresql")

LISTENERS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'shared-reports lookups'"
PATIENCE = 20.0  # seconds


async def heard_by(service: Service) -> asyncio.Event:
    """Return the event of an announcement that an instance hears from now on."""
    await answered(service)  # the connection that listens is open
    heard = asyncio.Event()
    service.app[REPOSITORIES].on_announced("expiry", heard.set)
    return heard


async def answered(service: Service) -> None:
    """Return when the connection that listens has answered; what came before it was heard."""
    await service.app[REPOSITORIES].links.next_expiry()


async def test_instance_hears_of_an_earlier_expiry_at_another_one(
    start: Start, config: Config
) -> None:
    one, other = await start(config), await start(config)
    await one.alice.put_video()
    heard = await heard_by(other)
    await one.alice.share(expires_at="2099-01-01T00:00:00")
    async with asyncio.timeout(PATIENCE):
        await heard.wait()


async def test_announcement_makes_the_sweeper_look_anew(start: Start, config: Config) -> None:
    one, other = await start(config), await start(config)
    await answered(other)
    task = other.app[SWEEPER].task
    await one.app[REPOSITORIES].announce("expiry")
    await answered(other)
    async with asyncio.timeout(PATIENCE):
        before = task.last_success
        while task.last_success == before:
            await asyncio.sleep(0.001)


async def test_announcement_is_not_heard_by_its_own_instance(start: Start, config: Config) -> None:
    one, other = await start(config), await start(config)
    heard, heard_there = await heard_by(one), await heard_by(other)
    await one.app[REPOSITORIES].announce("expiry")
    async with asyncio.timeout(PATIENCE):
        await heard_there.wait()
    await answered(one)
    assert not heard.is_set()


async def test_connection_that_was_lost_listens_anew(
    start: Start, config: Config, database: DatabaseSetting
) -> None:
    one, other = await start(config), await start(config)
    await answered(one)
    await answered(other)
    fetch(database, f"SELECT pg_terminate_backend(pid) FROM ({LISTENERS}) AS listeners")
    heard = await heard_by(other)
    await one.app[REPOSITORIES].announce("expiry")
    async with asyncio.timeout(PATIENCE):
        await heard.wait()


async def test_expiries_that_get_earlier_are_announced_once_a_second(
    start: Start, config: Config
) -> None:
    one, other = await start(config), await start(config)
    await one.alice.put_video()
    await answered(other)
    count: list[int] = []
    other.app[REPOSITORIES].on_announced("expiry", lambda: count.append(1))
    for day in range(28, 8, -1):
        await one.alice.share(expires_at=f"2099-01-{day:02}T00:00:00")
        await one.app[SWEEPER].sweep_once()
    await answered(other)
    assert 1 <= len(count) <= 3
