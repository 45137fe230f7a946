"""Kept renderings: no change that was acknowledged is followed by a response from before it."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from support.access import PASSWORD, token_for
from support.database import change_segments
from support.harness import Response, Service
from support.link_changes import (
    ALTERATIONS,
    ENDS,
    NEW,
    OLD,
    Change,
    analysis,
    delete_video,
    expire,
    limit,
    replace_video,
    restrict,
    revoke_by_command,
)
from support.links import change
from support.renderings import (
    EXPIRY,
    PAGE,
    QR,
    RENDERED,
    Gate,
    gate_of_renderings,
    link_of_old_analysis,
    open_all,
)

from service.config import Config
from service.repositories.sqlite.engine import backup
from service.web.app_keys import CONFIG, RENDER_CACHE

pytestmark = pytest.mark.slow  # changes by a command start processes
link = pytest.fixture(link_of_old_analysis)
gate = pytest.fixture(gate_of_renderings)


async def check_kept(service: Service, share_hash: str) -> None:
    """Get each rendered response twice; the second is a kept one."""
    for route in RENDERED:
        cache = service.app[RENDER_CACHE]
        first = await service.public.get(route.format(share_hash))
        hits, renderings = cache.hits, cache.renderings
        second = await service.public.get(route.format(share_hash))
        assert (cache.hits, cache.renderings) == (hits + 1, renderings)
        assert (first.status, second.status) == (200, 200)
        assert second.body == first.body
        for name in ("Content-Type", "Content-Disposition", "Content-Security-Policy"):
            assert second.headers.get(name) == first.headers.get(name)


def check_ended(route: str, answer: Response, change: Change, status: int) -> None:
    is_form = change is limit and route == PAGE  # the first visit of a limited link is no error
    assert answer.status == (200 if is_form else status)
    assert OLD.encode() not in answer.body
    assert b"stays" not in answer.body


def check_altered(route: str, answer: Response, change: Change) -> None:
    assert answer.status == 200
    assert OLD.encode() not in answer.body
    if change is not restrict and route != QR:
        assert NEW.encode() in answer.body


@pytest.mark.parametrize("change", ENDS, ids=lambda change: change.__name__)
async def test_kept_response_is_not_sent_after_its_link_ends(
    service: Service, link: Any, change: Change
) -> None:
    await check_kept(service, link["share_hash"])
    await change(service, link)
    for route in RENDERED:
        answer = await service.public.get(route.format(link["share_hash"]))
        check_ended(route, answer, change, ENDS[change])


@pytest.mark.parametrize("change", ENDS, ids=lambda change: change.__name__)
async def test_response_rendered_before_its_link_ends_is_not_sent(
    service: Service, gate: Gate, change: Change
) -> None:
    await service.alice.put_video(segments=analysis(OLD))
    for routes in (RENDERED[:2], RENDERED[2:3], RENDERED[3:4], RENDERED[4:]):
        if change in {revoke_by_command, limit, expire} and routes != RENDERED[:2]:
            continue  # once: it takes a process, or cannot be repeated
        gate.opened.clear()
        made = await service.alice.share(expires_at=EXPIRY)
        tasks = open_all(service, made["share_hash"], routes)
        for _ in routes:
            await gate.finished.acquire()
        await change(service, made)
        gate.opened.set()
        for route, task in zip(routes, tasks, strict=True):
            check_ended(route, await task, change, ENDS[change])
        if change is delete_video:
            await service.alice.put_video(segments=analysis(OLD))


@pytest.mark.parametrize("change", ALTERATIONS, ids=lambda change: change.__name__)
async def test_kept_response_is_not_sent_after_a_change(
    service: Service, link: Any, change: Change
) -> None:
    await check_kept(service, link["share_hash"])
    await change(service, link)
    for route in RENDERED:
        answer = await service.public.get(route.format(link["share_hash"]))
        check_altered(route, answer, change)


@pytest.mark.parametrize("change", ALTERATIONS, ids=lambda change: change.__name__)
@pytest.mark.parametrize("routes", [RENDERED[:2], RENDERED[2:4], RENDERED[4:]])
async def test_response_rendered_before_a_change_is_not_sent(
    service: Service, link: Any, gate: Gate, routes: list[str], change: Change
) -> None:
    gate.opened.clear()
    tasks = open_all(service, link["share_hash"], routes)
    for _ in routes:
        await gate.finished.acquire()
    await change(service, link)
    late = open_all(service, link["share_hash"], routes)
    gate.opened.set()
    for route, task in zip(routes * 2, tasks + late, strict=True):
        check_altered(route, await task, change)


async def test_kept_page_shows_the_new_expiry(service: Service, link: Any) -> None:
    await check_kept(service, link["share_hash"])
    await change(service, link, expires_at="2026-03-02T10:00:00")
    page = await service.public.get(PAGE.format(link["share_hash"]))
    assert b"2 March 2026, 10:00 UTC" in page.body


async def test_kept_page_of_a_protected_link_needs_a_token(service: Service, link: Any) -> None:
    await change(service, link, password=PASSWORD)
    share_hash = link["share_hash"]
    headers = {"X-Share-Token": await token_for(service, share_hash, PASSWORD)}
    for route in RENDERED:
        for _ in range(2):
            assert (
                await service.public.get(route.format(share_hash), headers=headers)
            ).status == 200
        assert (await service.public.get(route.format(share_hash))).status == 401
    await change(service, link, password="another")
    for route in RENDERED:
        assert (await service.public.get(route.format(share_hash), headers=headers)).status == 401
    await service.advance(1)
    headers = {"X-Share-Token": await token_for(service, share_hash, "another")}
    await service.advance(15 * 60)
    assert (await service.public.get(PAGE.format(share_hash), headers=headers)).status == 401


async def test_kept_page_of_an_exhausted_link_needs_a_token(service: Service, link: Any) -> None:
    """A view of the limit is no change of the link, so it ends no cached row."""
    await change(service, link, max_views=2)
    share_hash = link["share_hash"]
    headers = {"X-Share-Token": await token_for(service, share_hash)}
    for route in RENDERED:
        assert (await service.public.get(route.format(share_hash), headers=headers)).status == 200
        assert (await service.public.get(route.format(share_hash))).status in {200, 401}
    await token_for(service, share_hash)
    for route in RENDERED:
        assert (await service.public.get(route.format(share_hash), headers=headers)).status == 200
        assert (await service.public.get(route.format(share_hash))).status == 410


@pytest.mark.engine("sqlite")
async def test_kept_page_is_not_sent_after_a_restore(
    service: Service, link: Any, config: Config
) -> None:
    """The restored row has the same id, revision and time, but another analysis."""
    share_hash = link["share_hash"]
    await check_kept(service, share_hash)
    copy = config.sqlite_file.with_name("copy")
    backup.copy(config.sqlite_file, copy, replace=True)
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("UPDATE videos SET segments = replace(segments, ?, ?)", (OLD, NEW))
    config.sqlite_file.rename(config.sqlite_file.with_name("old"))
    copy.rename(config.sqlite_file)
    await service.alice.put_video("another")  # this write opens the new file
    for route in RENDERED:
        check_altered(route, await service.public.get(route.format(share_hash)), replace_video)


async def test_rendering_from_before_a_restore_is_not_sent(
    service: Service, link: Any, gate: Gate
) -> None:
    cache, share_hash = service.app[RENDER_CACHE], link["share_hash"]
    gate.opened.clear()
    tasks = open_all(service, share_hash, [PAGE])
    await gate.finished.acquire()
    database = service.app[CONFIG].database
    change_segments(database, lambda segments: segments.replace(OLD.encode(), NEW.encode()))
    cache.clear()  # as a restore does
    tasks += open_all(service, share_hash, [PAGE])
    await gate.finished.acquire()
    gate.opened.set()
    for task in tasks:
        check_altered(PAGE, await task, replace_video)
    assert cache.renderings == 2
