"""The render cache: what its keys hold, what requests share, its bounds, and its metrics."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from support.access import counted
from support.harness import Response, Service, Start, segment
from support.link_changes import OLD, analysis
from support.links import change
from support.renderings import (
    CSV,
    PAGE,
    QR,
    RENDERED,
    Gate,
    gate_of_renderings,
    link_of_old_analysis,
    open_all,
)

from service.aiohttp_ext.response import raw_response
from service.app import ROUTES as APP_ROUTES
from service.concurrency.bounded_pool import BoundedPool, Place
from service.config import Config
from service.domain.links import Link
from service.web.app_keys import INDEXES, LINKS, POOLS, RENDER_CACHE
from service.web.render_cache import Key, RenderCache, Rendering

pytestmark = pytest.mark.own_service

link = pytest.fixture(link_of_old_analysis)


gate = pytest.fixture(gate_of_renderings)


async def test_kept_responses_of_two_links_of_one_video_differ(service: Service, link: Any) -> None:
    other = await service.alice.share(modules=["scenes"])
    for route in RENDERED * 2:
        ours = await service.public.get(route.format(link["share_hash"]))
        theirs = await service.public.get(route.format(other["share_hash"]))
        assert (ours.status, theirs.status) == (200, 200)
        assert OLD.encode() not in theirs.body
        assert ours.body != theirs.body


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


async def test_plain_page_alone_is_kept(service: Service, link: Any) -> None:
    """Whatever is asked for, no other rendering of the page takes its place, or any place."""
    many = [segment(n, n + 1, content=f"finding {n}.") for n in range(601)]
    await service.alice.put_video(segments=many)
    path, cache = PAGE.format(link["share_hash"]), service.app[RENDER_CACHE]
    await service.public.get(path)
    kept = list(cache._entries)
    for page, shown in {"1": 0, "2": 300, "3": 600, "4": 600, "x": 0}.items():
        answer = await service.public.get(path, params={"page": page})
        assert f">finding {shown}.".encode() in answer.body
    for n in range(20):
        await service.public.get(path, params={"q": f"word {n}"})
        await service.public.get(f"{path}/analysis.csv", params={"q": f"word {n}"})
    assert list(cache._entries) == kept
    hits = cache.hits
    await service.public.get(path)
    assert cache.hits == hits + 1


async def test_index_of_a_report_is_read_once(
    service: Service, link: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    get_report = service.app[LINKS].get_report

    async def count(share_hash: str) -> Any:
        reads.append(share_hash)
        return await get_report(share_hash)

    monkeypatch.setattr(service.app[LINKS], "get_report", count)
    path = PAGE.format(link["share_hash"])
    for query in ("", "?q=a", "?page=2", "?from=0:01", "/analysis.csv?q=a"):
        assert (await service.public.get(path + query)).status == 200
    assert len(reads) == 1
    other = await service.alice.share()  # shows the same of the same video
    await service.public.get(PAGE.format(other["share_hash"]))
    assert len(reads) == 1
    await change(service, link, modules=["scenes"])
    assert b"transcription" not in (await service.public.get(path)).body
    assert len(reads) == 2
    service.app[INDEXES].clear()  # as a restore does
    await service.public.get(f"{path}?q=a")
    assert len(reads) == 3


async def test_kept_segments_are_of_the_module_asked(service: Service, link: Any) -> None:
    path = RENDERED[0].format(link["share_hash"])
    for module, count in (("scenes", 1), ("transcription", 1), ("neither", 0), (None, 2)) * 2:
        params = {} if module is None else {"module": module}
        assert len((await service.public.get(path, params=params)).json) == count


async def test_kept_response_depends_on_every_query_parameter(service: Service, link: Any) -> None:
    """A parameter of a new route, or a new one of an old route, is part of the name, too."""
    cache = service.app[RENDER_CACHE]
    values = {"excel": ("0", "1"), "all": ("1",), "from": ("0:01", "2"), "to": ("0:01", "2")}
    values |= dict.fromkeys(("page", "part", "entry"), ("1", "2"))
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
    assert (cache.hits, cache.misses, cache.renderings, cache.size) == (0, 14, 14, 0)


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
    link = Link(1, "x", None, True, None, "1", None)  # noqa: FBT003 - by position
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
