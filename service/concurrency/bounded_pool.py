"""Thread pools with bounded waiting and a fair share for each caller.

Each kind of work (rendering, downloads, parsing, hashing) has a pool of its own, so one kind cannot
starve another. Within a pool, the callers take turns: a caller with a hundred calls delays another
caller by one call a place, not by a hundred.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from service.domain.errors import UnavailableError

T = TypeVar("T")

_Call = tuple[Future[Any], Callable[[], Any]]


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    granted: asyncio.Future[None]
    is_wanted: Callable[[], bool]


class BoundedPool:
    """Runs functions in daemon threads, at most ``size`` at once.

    At most ``queue_size`` calls wait, and at most ``caller_limit`` of one caller. A full queue
    rejects the newest call of the caller with the most calls. The threads start with the first
    calls. They are daemons: a function that runs for long does not keep the process from ending.
    """

    def __init__(self, name: str, size: int, *, queue_size: int, caller_limit: int) -> None:
        self.name = name
        self._full = f"Too many calls wait for {name}. Try again."
        self._size = self._free = size
        self._queue_size = queue_size
        self._caller_limit = caller_limit
        self._waiting: dict[Hashable, deque[_Waiter]] = {}
        """By caller, in the order of their turns."""
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._threads = 0
        self._closed = False

    @property
    def queue_length(self) -> int:
        """Calls that wait for a place."""
        return sum(map(len, self._waiting.values()))

    async def run(
        self,
        function: Callable[..., T],
        *arguments: object,
        caller: Hashable = None,
        is_wanted: Callable[[], bool] = _always,
    ) -> T:
        """Return what the function returns, from a thread. Raises what ``place`` does."""
        async with self.place(caller, is_wanted) as place:
            return await place.run(function, *arguments)

    @asynccontextmanager
    async def place(
        self, caller: Hashable = None, is_wanted: Callable[[], bool] = _always
    ) -> AsyncIterator["Place"]:
        """Hold one of the pool's places as long as the context lasts.

        A call that is cancelled leaves the queue; so does a call that ``is_wanted`` no longer when
        its turn comes, or when the queue is full. Raises UnavailableError if too many calls wait:
        at once, or later if its caller has the most of them.
        """
        await self._acquire(caller, is_wanted)
        place = Place(self)
        try:
            yield place
        finally:
            place.leave()

    def close(self) -> None:
        """Reject calls that wait, and end each thread after its current call."""
        self._closed = True
        for queue in self._waiting.values():
            for waiter in queue:
                _reject(waiter, "The service is stopping. Try again.")
        for _ in range(self._threads):
            self._calls.put(None)

    async def _acquire(self, caller: Hashable, is_wanted: Callable[[], bool]) -> None:
        if self._closed:
            raise UnavailableError("The service is stopping. Try again.")
        if self._free:
            self._free -= 1
            return
        if self._is_full(caller):
            self._remove_unwanted()
            if self._is_full(caller) and not self._has_made_room(caller):
                raise UnavailableError(self._full)
        waiter = _Waiter(asyncio.get_running_loop().create_future(), is_wanted)
        self._waiting.setdefault(caller, deque()).append(waiter)
        try:
            await waiter.granted
        except asyncio.CancelledError:
            if _is_granted(waiter):
                self.release()  # its caller was cancelled before it could run
            self._remove(caller, waiter)
            raise

    def _is_full(self, caller: Hashable) -> bool:
        of_caller = self._waiting.get(caller, ())
        return len(of_caller) >= self._caller_limit or self.queue_length >= self._queue_size

    def _has_made_room(self, caller: Hashable) -> bool:
        """Whether another caller had so many more calls that its newest one was rejected."""
        own = len(self._waiting.get(caller, ()))
        busiest = max(self._waiting, key=lambda other: len(self._waiting[other]))
        queue = self._waiting[busiest]
        if own >= self._caller_limit or len(queue) <= own + 1:
            return False
        _reject(queue.pop(), self._full)
        return True

    def _remove_unwanted(self) -> None:
        for caller, queue in list(self._waiting.items()):
            for waiter in [waiter for waiter in queue if not waiter.is_wanted()]:
                _reject(waiter, "The connection was closed.")
                self._remove(caller, waiter)

    def _remove(self, caller: Hashable, waiter: _Waiter) -> None:
        queue = self._waiting.get(caller, deque())
        with suppress(ValueError):
            queue.remove(waiter)
        if not queue:
            self._waiting.pop(caller, None)

    def release(self) -> None:
        """Give a place to the next caller in turn."""
        while self._waiting:
            caller = next(iter(self._waiting))
            queue = self._waiting.pop(caller)
            waiter = queue.popleft()
            if queue:
                self._waiting[caller] = queue  # behind the other callers
            if not waiter.is_wanted():
                _reject(waiter, "The connection was closed.")
            if not waiter.granted.done():
                waiter.granted.set_result(None)
                return
        self._free += 1

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Start a function in a thread. Its caller holds a place, so a thread is free."""
        if self._threads < self._size:
            self._threads += 1
            name = f"{self.name}-{self._threads}"
            Thread(target=_work, args=(self._calls,), name=name, daemon=True).start()
        future: Future[T] = Future()
        self._calls.put((future, function))
        return future


class Place:
    """A place in a pool: its holder runs functions in the pool's threads, one at a time."""

    def __init__(self, pool: BoundedPool) -> None:
        self._pool = pool
        self._current: Future[Any] | None = None

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """Return what the function returns, from a thread."""
        current = self._pool.submit(partial(function, *arguments))
        self._current = current
        return await asyncio.wrap_future(current)

    def leave(self) -> None:
        """Release the place; after a cancellation, not before the thread has finished."""
        if self._current is None or self._current.done():
            self._pool.release()
            return
        loop = asyncio.get_running_loop()

        def finish(_: Future[Any]) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._pool.release)

        self._current.add_done_callback(finish)


def _is_granted(waiter: _Waiter) -> bool:
    granted = waiter.granted
    return granted.done() and not granted.cancelled() and granted.exception() is None


def _reject(waiter: _Waiter, detail: str) -> None:
    if not waiter.granted.done():
        waiter.granted.set_exception(UnavailableError(detail))


def _work(calls: SimpleQueue[_Call | None]) -> None:
    while (call := calls.get()) is not None:
        _complete(*call)
        del call  # its arguments may be large


def _complete(future: Future[Any], function: Callable[[], Any]) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - it is the caller's, and the thread goes on
            future.set_exception(error)
