"""Reports that take long: only what the link shows, in bounded pools, for callers that wait."""

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request
from support.harness import Service, is_problem, segment
from support.metrics import scrape

from service.domain import segments as domain_segments
from service.domain.json_scanner import WINDOW
from service.domain.links import Link
from service.domain.public_report import public_report_json
from service.domain.segments import decode_segments, select_modules
from service.domain.videos import PublicVideo
from service.web.app_keys import POOLS
from service.web.pages import handlers
from service.web.pages.report_index import ReportIndex
from service.web.pages.report_query import ReportQuery
from service.web.report_responses import is_connected

LINK = Link(1, "x", None, True, None, "1", None)  # noqa: FBT003 - by position
HOUR = "2025-01-15T10"


class Rendering:
    """Holds the rendering of pages until it is let go."""

    def __init__(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        self.service = service
        self.pool = service.app[POOLS].rendering
        self.gate = threading.Event()
        self.rendered: list[str] = []
        self._started = threading.Semaphore(0)
        self._render = handlers._render
        monkeypatch.setattr(handlers, "_render", self)

    def __call__(self, index: ReportIndex, link: Link, query: ReportQuery, hour: str) -> bytes:
        self._started.release()
        assert self.gate.wait(20)
        self.rendered.append(link.share_hash)
        return self._render(index, link, query, hour)

    def open(self, share_hash: str) -> "asyncio.Task[Any]":
        return asyncio.create_task(self.service.public.get(f"/r/{share_hash}"))

    async def share(self, count: int) -> list[str]:
        """New links, whose pages are as many renderings."""
        return [(await self.service.alice.share())["share_hash"] for _ in range(count)]

    async def occupy(self) -> list["asyncio.Task[Any]"]:
        """Two pages under way, which are all that the pool renders at once."""
        tasks = [self.open(share_hash) for share_hash in await self.share(2)]
        for _ in tasks:
            await asyncio.to_thread(self._started.acquire)
        return tasks

    async def wait_for_queue(self, length: int) -> None:
        while self.pool.queue_length != length:
            await asyncio.sleep(0.01)


@pytest.fixture
async def rendering(service: Service, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rendering]:
    await service.alice.put_video(segments=[segment(0, 1)])
    rendering = Rendering(service, monkeypatch)
    yield rendering
    rendering.gate.set()


async def test_pages_of_clients_that_hung_up_are_not_rendered(rendering: Rendering) -> None:
    service = rendering.service
    [small] = await rendering.share(1)
    hashes = await rendering.share(20)
    tasks = await rendering.occupy()
    abandoned = [rendering.open(share_hash) for share_hash in hashes]
    await rendering.wait_for_queue(20)
    server = service.client.server.runner.server  # type: ignore[union-attr] # it is running
    assert server is not None
    before = len(server.connections)
    for task in abandoned:
        task.cancel()
    while len(server.connections) > before - len(abandoned):
        await asyncio.sleep(0.01)
    wanted = rendering.open(small)
    while not rendering.pool.queue_length:
        await asyncio.sleep(0.01)
    rendering.gate.set()
    for task in (*tasks, wanted):
        assert (await task).status == 200
    assert len(rendering.rendered) == 3
    assert rendering.rendered.count(small) == 1
    assert not set(rendering.rendered) & set(hashes)


def test_client_that_hung_up_is_not_connected() -> None:
    """So a call leaves the queue also where the server does not cancel its handler."""
    transport = Mock(is_closing=lambda: False)
    request = make_mocked_request("GET", "/", transport=transport)
    connected = is_connected(request)
    assert connected()
    transport.is_closing = lambda: True
    assert not connected()
    request.protocol.transport = None
    assert not connected()


async def test_pages_are_unavailable_if_too_many_wait(rendering: Rendering) -> None:
    first, second = await rendering.share(2)
    rendering.pool._queue_size = 1
    tasks = [*await rendering.occupy(), rendering.open(first)]
    await rendering.wait_for_queue(1)
    answer = await rendering.open(second)
    assert is_problem(answer, 503, "unavailable")
    assert answer.headers["Retry-After"] == "1"
    rendering.gate.set()
    assert {(await task).status for task in tasks} == {200}


async def test_rendering_keeps_no_other_kind_of_work_waiting(rendering: Rendering) -> None:
    """Nor readiness: a page that waits for its turn has read nothing yet."""
    service = rendering.service
    hashes = await rendering.share(20)
    tasks = [*await rendering.occupy(), *map(rendering.open, hashes)]
    await rendering.wait_for_queue(20)
    share_hash = hashes[0]
    metrics = await scrape(service.public)
    queues = [name for name in metrics if name.startswith("shared_reports_db_queue_length")]
    assert {metrics[name] for name in queues} == {0}
    await service.alice.put_video("job-2", segments=[segment(0, 1)])
    for path in (
        f"/r/{share_hash}/analysis.csv",
        f"/api/shared-reports/{share_hash}",
        f"/api/shared-reports/{share_hash}/segments",
        "/readyz",
    ):
        assert (await service.public.get(path)).status == 200
    rendering.gate.set()
    assert {(await task).status for task in tasks} == {200}


async def test_restricted_link_shows_its_modules_byte_for_byte(service: Service) -> None:
    names = [f'm"{n}, "m' for n in range(100)]
    given = [
        segment(n, n + 1, names[n % 100], content='},{"id":"', metadata=[{"module": names[n % 7]}])
        for n in range(3_000)
    ]
    await service.alice.put_video(segments=given)
    whole = (await service.alice.get("/api/videos/job-1/segments")).body
    shown = names[::-3]
    share_hash = (await service.alice.share(modules=[*shown, "of no segment"]))["share_hash"]
    path = f"/api/shared-reports/{share_hash}"
    in_order = [name for name in names if name in shown]
    assert (await service.public.get(path)).json["video"]["modules"] == in_order
    kept = [each for each in json.loads(whole) if each["module"] in shown]
    assert (await service.public.get(f"{path}/segments")).json == kept
    for module in (shown[5], names[1], "of no segment"):
        answer = await service.public.get(f"{path}/segments", params={"module": module})
        assert answer.json == [each for each in kept if each["module"] == module]
    plain = (await service.alice.share())["share_hash"]
    answer = await service.public.get(f"/api/shared-reports/{plain}/segments")
    assert answer.body == whole


def stored(count: int, modules: int) -> bytes:
    segments = [
        {"id": "1", "job_id": "j", "content": "x" * 100, "metadata": {"n": n % 7}}
        | segment(n, n + 1, f"m{n % modules}")
        | {"created_at": "2025-01-15T10:00:00"}
        for n in range(count)
    ]
    return json.dumps(segments, separators=(",", ":")).encode()


class Recorder:
    """Stands in for a decoder, and records the longest text that it is given."""

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder
        self.longest = 0

    def decode(self, text: bytes) -> Any:
        self.longest = max(self.longest, len(text))
        return self.decoder.decode(text)


def test_stored_analysis_is_read_in_short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    body = stored(5_000, 5)
    recorders = {
        name: Recorder(getattr(domain_segments, name)) for name in ("_segments", "_raw", "_modules")
    }
    for name, recorder in recorders.items():
        monkeypatch.setattr(domain_segments, name, recorder)
    assert len(list(decode_segments(body))) == 5_000
    assert len(json.loads(select_modules(body, {"m1"}))) == 1_000
    assert all(0 < recorder.longest < WINDOW + 1_000 for recorder in recorders.values())


class CountedName(str):
    """A module's name that counts how often it is compared."""

    __slots__ = ()
    comparisons = 0

    def __eq__(self, other: object) -> bool:
        CountedName.comparisons += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def comparisons(monkeypatch: pytest.MonkeyPatch, modules: int, allowed: int) -> int:
    """The comparisons of names that a public report takes with so many modules."""
    names = [f"m{n}" for n in range(modules)]
    shown = json.dumps(names[-allowed:])

    def decode_names(text: str) -> list[str]:
        return [CountedName(name) if text is shown else name for name in json.loads(text)]

    monkeypatch.setattr("service.domain.public_report._decode_names", decode_names)
    CountedName.comparisons = 0
    public_report_json("x", "y", f'{{"modules":{json.dumps(names)}}}', json.dumps(names), shown)
    return CountedName.comparisons


def test_public_report_takes_work_linear_in_its_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 200 <= comparisons(monkeypatch, 500, 200) <= 500 + 200


@contextmanager
def counting_calls() -> Iterator[list[int]]:
    """Counts the calls of Python functions, each resumption of a generator being one."""
    calls = [0]

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        calls[0] += event == "call"

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


async def test_page_takes_work_linear_in_its_modules(service: Service) -> None:
    await service.alice.put_video()
    share_hash = (await service.alice.share())["share_hash"]
    document = (await service.public.get(f"/r/{share_hash}/analysis.json")).json
    video = msgspec.convert(document["video"], PublicVideo)
    work = []
    for modules in (200, 800):
        segments = stored(2 * modules, modules)
        with counting_calls() as calls:
            handlers._render(ReportIndex(video, segments), LINK, ReportQuery(), HOUR)
        work.append(calls[0])
    assert work[1] < 4.4 * work[0]
