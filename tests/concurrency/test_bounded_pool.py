"""Bounded pools: fair turns, bounded waiting, and no work for callers that are gone."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from service.concurrency.bounded_pool import BoundedPool
from service.domain.errors import UnavailableError


class Work:
    """A pool of one place that runs a call until it is let go, and notes whom it ran for."""

    def __init__(self, **limits: int) -> None:
        self.pool = BoundedPool("work", 1, **({"queue_size": 10, "caller_limit": 5} | limits))
        self.gate = threading.Event()
        self.started = threading.Event()
        self.ran: list[str] = []

    def call(self, name: str) -> str:
        self.started.set()
        assert self.gate.wait(20)
        self.ran.append(name)
        return name

    def submit(self, name: str, is_wanted: Callable[[], bool] = lambda: True) -> asyncio.Task[str]:
        running = self.pool.run(self.call, name, caller=name[0], is_wanted=is_wanted)
        return asyncio.create_task(running)

    async def occupy(self) -> asyncio.Task[str]:
        task = self.submit("0")
        await asyncio.to_thread(self.started.wait, 20)
        return task


@pytest.fixture
async def work() -> AsyncIterator[Work]:
    work = Work()
    yield work
    work.gate.set()
    work.pool.close()


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_bounded_pool_returns_results_and_raises_errors(work: Work) -> None:
    work.gate.set()
    assert await work.submit("a") == "a"
    with pytest.raises(ZeroDivisionError):
        await work.pool.run(lambda: 1 // 0)


async def test_bounded_pool_gives_each_caller_its_turn(work: Work) -> None:
    tasks = [await work.occupy(), *map(work.submit, ("a1", "a2", "a3", "b1", "c1"))]
    await turns()
    assert work.pool.queue_length == 5
    work.gate.set()
    await asyncio.gather(*tasks)
    assert work.ran == ["0", "a1", "b1", "c1", "a2", "a3"]
    assert work.pool.queue_length == 0


async def test_bounded_pool_rejects_what_is_over_a_callers_limit() -> None:
    work = Work(caller_limit=2)
    tasks = [await work.occupy(), *map(work.submit, ("a1", "a2", "a3", "b1"))]
    await turns()
    with pytest.raises(UnavailableError):
        await tasks.pop(3)
    work.gate.set()
    assert await asyncio.gather(*tasks) == ["0", "a1", "a2", "b1"]
    work.pool.close()


async def test_bounded_pool_rejects_what_is_over_its_queue() -> None:
    work = Work(queue_size=2)
    tasks = [await work.occupy(), *map(work.submit, ("a1", "b1", "c1"))]
    await turns()
    with pytest.raises(UnavailableError):
        await tasks.pop()
    work.gate.set()
    await asyncio.gather(*tasks)
    work.pool.close()


async def test_bounded_pool_with_a_full_queue_rejects_the_busiest_caller() -> None:
    work = Work(queue_size=4)
    tasks = [await work.occupy(), *map(work.submit, ("a1", "a2", "a3", "b1", "c1", "c2"))]
    await turns()
    assert work.pool.queue_length == 4
    for rejected in (tasks[6], tasks[3]):  # c has one call, and no caller has more than two
        with pytest.raises(UnavailableError):
            await rejected
    work.gate.set()
    assert await asyncio.gather(*tasks[:3], *tasks[4:6]) == ["0", "a1", "a2", "b1", "c1"]
    assert work.ran == ["0", "a1", "b1", "c1", "a2"]
    work.pool.close()


async def test_bounded_pool_frees_no_place_for_a_rejected_and_cancelled_call() -> None:
    """A lost connection rejects a waiting call, and cancels it in the same turn of the loop."""
    work = Work(queue_size=1)
    running = await work.occupy()
    rejected = work.submit("a", lambda: False)
    await turns()
    last = work.submit("b")
    await asyncio.sleep(0)  # b has rejected a
    rejected.cancel()
    await turns()
    assert work.pool.queue_length == 1  # b waits still: the only place is taken
    work.gate.set()
    assert (await running, await last) == ("0", "b")
    work.pool.close()


async def test_bounded_pool_forgets_a_cancelled_call(work: Work) -> None:
    running, cancelled, last = await work.occupy(), work.submit("a"), work.submit("b")
    await turns()
    cancelled.cancel()
    await turns()
    assert work.pool.queue_length == 1
    work.gate.set()
    await asyncio.gather(running, last)
    assert work.ran == ["0", "b"]


async def test_bounded_pool_skips_what_is_no_longer_wanted() -> None:
    work = Work(queue_size=2)
    running = await work.occupy()
    gone = [work.submit("a", lambda: False), work.submit("b", lambda: False)]
    await turns()
    last = work.submit("c")  # has the place in the queue of one that is gone
    await turns()
    work.gate.set()
    await asyncio.gather(running, last)
    assert work.ran == ["0", "c"]
    for task in gone:
        with pytest.raises(UnavailableError):
            await task
    work.pool.close()


async def test_bounded_pool_keeps_a_place_until_its_thread_is_done(work: Work) -> None:
    cancelled, last = await work.occupy(), work.submit("a")
    await turns()
    cancelled.cancel()
    await turns()
    assert work.pool.queue_length == 1  # the thread is still at work for the cancelled call
    work.gate.set()
    assert await last == "a"


async def test_bounded_pool_rejects_what_waits_when_it_closes(work: Work) -> None:
    running, waiting = await work.occupy(), work.submit("a")
    await turns()
    work.pool.close()
    with pytest.raises(UnavailableError):
        await waiting
    with pytest.raises(UnavailableError):
        await work.pool.run(lambda: 1)
    work.gate.set()
    assert await running == "0"
