"""Kept renderings: no change that was acknowledged is followed by a response from before it."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
from support.access import PASSWORD, counted, token_for
from support.database import change_segments, text_of
from support.harness import Response, Service, Start, export, segment
from support.links import ROUTES, change
from support.process import run

from service.aiohttp_ext.response import raw_response
from service.app import ROUTES as APP_ROUTES
from service.concurrency.bounded_pool import BoundedPool, Place
from service.config import Config
from service.domain.links import Link
from service.repositories.sqlite.engine import backup
from service.web.app_keys import CONFIG, POOLS, RENDER_CACHE
from service.web.render_cache import Key, RenderCache, Rendering

RENDERED = ROUTES[1:]
"""The routes whose responses are rendered: segments, page, downloads, QR code."""
PAGE, CSV, QR = "/r/{}", "/r/{}/analysis.csv", "/r/{}/qr.svg"
EXPIRY = "2025-01-15T11:00:00"
OLD, NEW = "before the change", "after the change"


def analysis(said: str) -> list[dict[str, Any]]:
    return [segment(0, 1, content="stays"), segment(1, 2, "transcription", content=said)]


async def revoke(service: Service, link: Any) -> None:
    assert (await service.alice.delete(f"/api/shared-reports/{link['id']}")).status == 200


async def run_beside(service: Service, *arguments: str) -> CompletedProcess[str]:
    """Run a command on the service's database."""
    database = service.app[CONFIG].database
    return await asyncio.to_thread(run, *arguments, folder=Path.cwd(), DATABASE=text_of(database))


async def revoke_by_command(service: Service, link: Any) -> None:
    arguments = ("links", "revoke", link["id"], "--user", service.alice.user_id)
    result = await run_beside(service, *arguments)
    assert result.returncode == 0, result.stderr


async def revoke_all(service: Service, _: Any) -> None:
    assert (await service.alice.delete("/api/videos/job-1/shared-reports")).status == 200


async def delete_video(service: Service, _: Any) -> None:
    assert (await service.alice.delete("/api/videos/job-1")).status == 200


async def rotate(service: Service, link: Any) -> None:
    assert (await service.alice.post(f"/api/shared-reports/{link['id']}/rotate")).status == 200


async def expire(service: Service, _: Any) -> None:
    service.clock.advance(3600)


async def switch_off(service: Service, link: Any) -> None:
    await change(service, link, is_active=False)


async def postpone(service: Service, link: Any) -> None:
    await change(service, link, not_before="2025-01-15T10:30:00")


async def protect(service: Service, link: Any) -> None:
    await change(service, link, password=PASSWORD)


async def limit(service: Service, link: Any) -> None:
    await change(service, link, max_views=9)


async def exhaust(service: Service, link: Any) -> None:
    await service.public.get(ROUTES[0].format(link["share_hash"]))
    await change(service, link, max_views=1)


async def restrict(service: Service, link: Any) -> None:
    await change(service, link, modules=["scenes"])


async def replace_video(service: Service, _: Any) -> None:
    await service.alice.put_video(segments=analysis(NEW))


async def replace_by_command(service: Service, _: Any) -> None:
    with NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(export(segments=analysis(NEW)) | {"job_id": "job-1"}, file)
        file.flush()
        result = await run_beside(service, "import", file.name, "--user", service.alice.user_id)
    assert result.returncode == 0, result.stderr


Change = Callable[[Service, Any], Awaitable[None]]
ENDS: dict[Change, int] = {
    revoke: 404,
    revoke_by_command: 404,
    revoke_all: 404,
    delete_video: 404,
    rotate: 404,
    switch_off: 404,
    postpone: 404,
    expire: 410,
    protect: 401,
    limit: 401,
    exhaust: 410,
}
"""Changes after which a link shows nothing, by the status it has then."""
ALTERATIONS: list[Change] = [restrict, replace_video, replace_by_command]
"""Changes after which a link shows something else."""


@pytest.fixture
async def link(service: Service) -> Any:
    await service.alice.put_video(segments=analysis(OLD))
    return await service.alice.share(expires_at=EXPIRY)


class Gate:
    """Holds all renderings when they are finished, before anyone gets them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = asyncio.Event()
        self.opened.set()
        self.finished = asyncio.Semaphore(0)
        run_in_thread = Place.run

        async def run(place: Place, *call: Any) -> Any:
            result = await run_in_thread(place, *call)
            if place._pool.name in {"rendering", "downloads"} and not self.opened.is_set():
                self.finished.release()
                await self.opened.wait()
            return result

        monkeypatch.setattr(Place, "run", run)


@pytest.fixture
async def gate(service: Service, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gate]:
    assert service.client.server.started
    gate = Gate(monkeypatch)
    yield gate
    gate.opened.set()


def open_all(service: Service, share_hash: str, routes: list[str]) -> list[asyncio.Task[Response]]:
    return [asyncio.create_task(service.public.get(route.format(share_hash))) for route in routes]


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
    service.clock.advance(1)
    headers = {"X-Share-Token": await token_for(service, share_hash, "another")}
    service.clock.advance(15 * 60)
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


async def test_kept_responses_of_two_links_of_one_video_differ(service: Service, link: Any) -> None:
    other = await service.alice.share(modules=["scenes"])
    for route in RENDERED * 2:
        ours = await service.public.get(route.format(link["share_hash"]))
        theirs = await service.public.get(route.format(other["share_hash"]))
        assert (ours.status, theirs.status) == (200, 200)
        assert OLD.encode() not in theirs.body
        assert ours.body != theirs.body


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


async def test_kept_qr_code_is_of_the_address_asked(service: Service, link: Any) -> None:
    path = QR.format(link["share_hash"])
    bodies = [
        (await service.public.get(path, headers={"Host": host})).body
        for host in ("a.example", "b.example:81") * 2
    ]
    assert bodies[:2] == bodies[2:]
    assert bodies[0] != bodies[1]
    assert (await service.public.get(path, headers={"Host": "a b"})).status == 400


async def test_kept_page_is_sent_in_the_accepted_encoding(service: Service, link: Any) -> None:
    path = service.client.make_url(PAGE.format(link["share_hash"]))
    bodies: dict[str, set[bytes]] = {"gzip": set(), "identity": set()}
    for encoding in ("gzip", "identity", "gzip", "identity"):
        headers = {"Accept-Encoding": encoding}
        async with service.client.session.get(path, headers=headers) as answer:
            assert answer.headers.get("Content-Encoding", "identity") == encoding
            assert answer.headers["Vary"] == "Accept-Encoding"
            bodies[encoding].add(await answer.read())
    assert len(bodies["gzip"]) == 1
    assert bodies["gzip"] == bodies["identity"]


async def test_kept_part_is_the_part_asked(service: Service, link: Any) -> None:
    many = [segment(n, n + 1, content=f"finding {n}.") for n in range(4_001)]
    await service.alice.put_video(segments=many)
    path = PAGE.format(link["share_hash"])
    for part, shown in {"1": 0, "2": 2_000, "3": 4_000, "4": 4_000, "x": 0}.items():
        for _ in range(2):
            page = await service.public.get(path, params={"part": part})
            assert f">finding {shown}.".encode() in page.body
    assert service.app[RENDER_CACHE].renderings == 5  # part 4 is not kept beside part 3
    assert len(service.app[RENDER_CACHE]._entries) == 3


async def test_kept_segments_are_of_the_module_asked(service: Service, link: Any) -> None:
    path = RENDERED[0].format(link["share_hash"])
    for module, count in (("scenes", 1), ("transcription", 1), ("neither", 0), (None, 2)) * 2:
        params = {} if module is None else {"module": module}
        assert len((await service.public.get(path, params=params)).json) == count


async def test_kept_response_depends_on_every_query_parameter(service: Service, link: Any) -> None:
    """A parameter of a new route, or a new one of an old route, is part of the name, too."""
    cache = service.app[RENDER_CACHE]
    values = {"part": ("1", "2"), "excel": ("0", "1")}
    parameters = [
        (route.path.format(**link), name)
        for route in APP_ROUTES
        if "{share_hash}" in route.path and route.method == "GET"
        for name in route.query
    ]
    assert len(parameters) >= 2
    for path, name in parameters:
        hits = cache.hits
        for value in values.get(name, ("scenes", "transcription")):
            assert (await service.public.get(path, params={name: value})).status == 200
        assert cache.hits == hits, (path, name)


async def test_head_of_a_kept_page_is_no_view(service: Service, link: Any) -> None:
    path = PAGE.format(link["share_hash"])
    lengths = set()
    for views in (1, 2):
        head = await service.public.call("HEAD", path)
        lengths.add(head.headers["Content-Length"])
        assert head.body == b""
        lengths.add((await service.public.get(path)).headers["Content-Length"])
        assert await counted(service, link) == views
    for route in RENDERED:
        if route != PAGE:
            await service.public.get(route.format(link["share_hash"]))
    assert await counted(service, link) == 2
    assert len(lengths) == 1


async def test_hundred_requests_share_one_rendering(
    service: Service, link: Any, gate: Gate
) -> None:
    gate.opened.clear()
    tasks = open_all(service, link["share_hash"], [PAGE] * 100)
    await gate.finished.acquire()
    cache = service.app[RENDER_CACHE]
    while cache.misses < 100:
        await asyncio.sleep(0.01)
    gate.opened.set()
    assert len({(await task).body for task in tasks}) == 1
    assert cache.renderings == 1
    assert await counted(service, link) == 100


async def test_rendering_goes_on_while_one_request_waits(
    service: Service, link: Any, gate: Gate
) -> None:
    gate.opened.clear()
    tasks = open_all(service, link["share_hash"], [PAGE] * 3)
    await gate.finished.acquire()
    cache = service.app[RENDER_CACHE]
    while cache.misses < 3:
        await asyncio.sleep(0.01)
    await hang_up(service, tasks[:2])
    gate.opened.set()
    assert (await tasks[2]).status == 200
    assert cache.renderings == 1
    assert await counted(service, link) == 1


async def test_rendering_that_no_request_waits_for_is_dropped(
    service: Service, link: Any, gate: Gate
) -> None:
    gate.opened.clear()
    tasks = open_all(service, link["share_hash"], [PAGE])
    await gate.finished.acquire()
    await hang_up(service, tasks)
    cache, pool = service.app[RENDER_CACHE], service.app[POOLS].rendering
    while pool._free < 2:
        await asyncio.sleep(0.01)
    gate.opened.set()
    assert cache._flights == {}
    assert (await service.public.get(PAGE.format(link["share_hash"]))).status == 200
    assert cache.renderings == 1


async def hang_up(service: Service, tasks: list[asyncio.Task[Response]]) -> None:
    """Close the connections of requests, and wait until the server has noticed."""
    server = service.client.server.runner.server  # type: ignore[union-attr] # it is running
    assert server is not None
    left = len(server.connections) - len(tasks)
    for task in tasks:
        task.cancel()
    while len(server.connections) > left:
        await asyncio.sleep(0.01)


async def test_failed_rendering_fails_all_that_wait_and_is_not_kept(
    service: Service, link: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a fault")

    with monkeypatch.context() as broken:
        broken.setattr("service.web.pages.handlers._render", fail)
        tasks = open_all(service, link["share_hash"], [PAGE] * 5)
        assert {(await task).status for task in tasks} == {500}
    assert (await service.public.get(PAGE.format(link["share_hash"]))).status == 200


PLAIN = {"Accept-Encoding": "identity"}  # a body of one letter would be tiny in gzip


async def test_render_cache_is_bounded_and_drops_the_least_recently_used(
    start: Start, config: Config
) -> None:
    service = await start(replace(config, render_cache=1))
    cache = service.app[RENDER_CACHE]
    await service.alice.put_video(segments=[segment(0, 1, content="x" * 200_000)])
    hashes = [(await service.alice.share())["share_hash"] for _ in range(6)]
    paths = [RENDERED[0].format(share_hash) for share_hash in hashes]
    for path in paths:
        await service.public.get(path, headers=PLAIN)
        await service.public.get(paths[0], headers=PLAIN)
        assert cache.size <= 2**20
    assert cache.size > 2**20 - 250_000
    assert cache.renderings == 6
    for path, renderings in ((paths[0], 6), (paths[5], 6), (paths[1], 7)):
        await service.public.get(path, headers=PLAIN)
        assert cache.renderings == renderings
    await service.alice.put_video(segments=[segment(0, 1, content="x" * 300_000)])
    for _ in range(2):  # more than a fourth of the cache
        await service.public.get(paths[0], headers=PLAIN)
    assert cache.renderings == 9


async def test_render_cache_of_0_keeps_nothing(start: Start, config: Config) -> None:
    service = await start(replace(config, render_cache=0))
    await service.alice.put_video(segments=analysis(OLD))
    link = await service.alice.share()
    for route in RENDERED * 2:
        assert (await service.public.get(route.format(link["share_hash"]))).status == 200
    cache = service.app[RENDER_CACHE]
    assert (cache.hits, cache.misses, cache.renderings, cache.size) == (0, 12, 12, 0)


async def test_render_cache_metrics_count_hits_misses_and_renderings(
    service: Service, link: Any
) -> None:
    for _ in range(3):
        await service.public.get(CSV.format(link["share_hash"]))
    text = (await service.public.get("/metrics")).body.decode()
    size = service.app[RENDER_CACHE].size
    for line in (
        f"render_cache_bytes {float(size)}",
        "render_cache_hits_total 2.0",
        "render_cache_misses_total 1.0",
        "renderings_total 1.0",
    ):
        assert f"\nshared_reports_{line}\n" in text


async def test_rendering_waits_in_the_turn_of_each_caller() -> None:
    """A caller with many renderings in the queue does not delay one that another waits for, too."""
    pool = BoundedPool("rendering", 1, queue_size=100, caller_limit=50)
    cache = RenderCache(1)
    link = Link(1, "x", None, requires_nothing=True, expires_at=None, video_version="1")
    done: list[str] = []

    async def wait(name: str) -> None:
        async with pool.place("greedy"):
            done.append(name)

    async def render(_: Place) -> Rendering:
        done.append("page")
        return Rendering(link, raw_response(b"page"), None)

    async def open_page(caller: str) -> None:
        rendering = await cache.render(Key(("page",), link), pool, caller, lambda: True, render)
        assert rendering is not None
        assert rendering.response.body == b"page"

    async with pool.place("busy"):
        tasks = [asyncio.create_task(wait(name)) for name in "abcde"]
        await asyncio.sleep(0)
        tasks += [asyncio.create_task(open_page(caller)) for caller in ("greedy", "modest")]
        while pool.queue_length < 7:
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert done == ["a", "page", "b", "c", "d", "e"]
    assert pool._free == 1
