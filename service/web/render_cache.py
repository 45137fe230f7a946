"""Kept renderings, and renderings that several requests wait for.

What a response shows follows from its name (the kind of response and its parameters) and from the
link as ``AccessService.check`` returns it, the version of its video included. So a rendering is
kept under both. Whether it may be shown does not follow from them: the caller checks the link of
each request, when the response begins.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterator
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.aiohttp_ext.response import Response
from service.concurrency.bounded_pool import BoundedPool, Place
from service.domain.links import Link
from service.telemetry.request_counts import METRIC_PREFIX

Name = tuple[str, ...]
"""The kind of a response, and the parameters of the request that it depends on."""

_MIB = 2**20
_LARGEST_PART = 4
"""An entry of more than a fourth of the cache is not kept: it would push out all others."""
_ENTRY_OVERHEAD = 1_000  # bytes of an entry's objects, roughly
_MAX_TURNS = 4
"""Callers in whose turns a rendering waits. Each takes a place in the pool's queue."""


class Key(NamedTuple):
    """What a rendering depends on."""

    name: Name
    link: Link


class Rendering(NamedTuple):
    """A response, and what it was made of."""

    link: Link
    response: Response
    name: Name | None
    """The name to keep it under; None if it is not worth keeping."""


Render = Callable[[Place], Awaitable[Rendering]]
"""Makes a rendering in a place of a pool."""


class RenderCache(Collector):
    """Keeps renderings, ``capacity`` MiB at most; the least recently used goes first."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity * _MIB
        self._entries: OrderedDict[Key, Response] = OrderedDict()
        self._flights: dict[Key, _Flight] = {}
        self._epoch = 0
        """Grows when another database takes the place of the one that was rendered from."""
        self.size = 0
        """Bytes kept, keys and headers included."""
        self.hits = 0
        self.misses = 0
        self.renderings = 0

    def get(self, key: Key) -> Response | None:
        """Return a kept response, to be copied for each request."""
        response = self._entries.get(key)
        if response is None:
            self.misses += 1
            return None
        self.hits += 1
        self._entries.move_to_end(key)
        return response

    async def render(
        self,
        key: Key,
        pool: BoundedPool,
        caller: Hashable,
        is_connected: Callable[[], bool],
        render: Render,
    ) -> Rendering | None:
        """Return the rendering for a key, made once for all requests that wait for it.

        It goes on as long as one of them waits, and is dropped if none does. It may be of another
        version of the link than the key's. Returns None if another database has taken the place of
        the one that it was made from. Raises what ``render`` and ``BoundedPool.place`` raise.
        """
        flight = self._flights.get(key)
        if flight is None or flight.result.cancelled():
            flight = self._flights[key] = _Flight(pool, render)
            flight.result.add_done_callback(lambda _: self._land(key, flight, epoch))
        epoch = self._epoch
        rendering = await flight.join(caller, is_connected)
        return rendering if epoch == self._epoch else None

    def clear(self) -> None:
        """Drop all renderings: the database is another one, with other rows of the same ids."""
        self._epoch += 1
        self._entries.clear()
        self._flights.clear()  # those who wait for one get None
        self.size = 0

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the cache."""
        yield GaugeMetricFamily(
            f"{METRIC_PREFIX}_render_cache_bytes", "Bytes of renderings that are kept.", self.size
        )
        for name, meaning, count in (
            ("render_cache_hits", "Requests answered with a kept rendering.", self.hits),
            ("render_cache_misses", "Requests for which no rendering was kept.", self.misses),
            ("renderings", "Pages, downloads, segments and QR codes rendered.", self.renderings),
        ):
            yield CounterMetricFamily(f"{METRIC_PREFIX}_{name}", meaning, count)

    def _land(self, key: Key, flight: "_Flight", epoch: int) -> None:
        """Keep what a finished flight has brought."""
        if self._flights.get(key) is flight:
            del self._flights[key]
        if flight.result.cancelled() or flight.result.exception() is not None:
            return
        self.renderings += 1
        link, response, name = flight.result.result()
        if name is not None and epoch == self._epoch:
            self._keep(Key(name, link), response)

    def _keep(self, key: Key, response: Response) -> None:
        size = _size(key, response)
        if size > self._capacity // _LARGEST_PART:
            return
        if (former := self._entries.pop(key, None)) is not None:
            self.size -= _size(key, former)
        self._entries[key] = response
        self.size += size
        while self.size > self._capacity:
            self.size -= _size(*self._entries.popitem(last=False))


def _size(key: Key, response: Response) -> int:
    texts = sum(map(len, key.name)) + len(key.link.modules or "")
    return len(response.body) + response.header_length + texts + _ENTRY_OVERHEAD


class _Flight:
    """A rendering under way, and the requests that wait for it."""

    def __init__(self, pool: BoundedPool, render: Render) -> None:
        self.result: asyncio.Future[Rendering] = asyncio.get_running_loop().create_future()
        self._pool = pool
        self._render = render
        self._waiting: list[Callable[[], bool]] = []
        """Of each request that waits: whether its client is still connected."""
        self._turns: dict[Hashable, asyncio.Task[None]] = {}
        """The tasks that wait for a place, by caller; once one has it, that one alone."""
        self._has_place = False

    async def join(self, caller: Hashable, is_connected: Callable[[], bool]) -> Rendering:
        """Wait for the rendering. The last one who leaves cancels it."""
        self._waiting.append(is_connected)
        self._take_turn(caller)
        try:
            return await asyncio.shield(self.result)
        finally:
            self._waiting.remove(is_connected)
            if not self._waiting and not self.result.done():
                self.result.cancel()
                self._cancel_turns()

    def _take_turn(self, caller: Hashable) -> None:
        """Wait for a place in this caller's turn, too.

        So a rendering that one caller began behind many others of its own is not late for another.
        """
        if not self._has_place and caller not in self._turns and len(self._turns) < _MAX_TURNS:
            self._turns[caller] = asyncio.create_task(self._run(caller))

    async def _run(self, caller: Hashable) -> None:
        try:
            async with self._pool.place(caller, self._is_wanted) as place:
                if self._has_place:
                    return  # the turns of two callers came at once
                self._has_place = True
                task = self._turns.pop(caller)
                self._cancel_turns()
                self._turns[caller] = task
                rendering = await self._render(place)
        except Exception as error:  # noqa: BLE001 - it is raised in the requests that wait
            self._turns.pop(caller, None)
            if not self._turns and not self.result.done():
                self.result.set_exception(error)
        else:
            if not self.result.done():
                self.result.set_result(rendering)

    def _is_wanted(self) -> bool:
        return any(is_connected() for is_connected in self._waiting)

    def _cancel_turns(self) -> None:
        for task in self._turns.values():
            task.cancel()
        self._turns.clear()
