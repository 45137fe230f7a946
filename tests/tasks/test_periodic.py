"""Background work: woken, failing, and stopped."""

import asyncio

from service.tasks.periodic import PeriodicTask

FOR_EVER = 3600.0


async def test_periodic_task_woken_during_a_pass_makes_another() -> None:
    passes: list[PeriodicTask] = []

    async def once() -> float:
        if not passes:
            task.wake()
        passes.append(task)
        await asyncio.sleep(0)
        return FOR_EVER

    task = PeriodicTask("test", once)
    async with task.running():
        while len(passes) < 2:
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
    assert len(passes) == 2


async def test_periodic_task_backs_off_while_it_fails() -> None:
    error: Exception | None = ValueError("broken")

    async def once() -> float:
        if error is not None:
            raise error
        return FOR_EVER

    task = PeriodicTask("test", once)
    delays = [await task._pass() for _ in range(9)]
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert (task.failures, task.last_success) == (9, None)
    error = None
    assert await task._pass() == FOR_EVER
    assert task.failures == 0
    assert task.last_success is not None


async def test_periodic_task_ends_with_its_context() -> None:
    started = asyncio.Event()
    ended = False

    async def once() -> float:
        nonlocal ended
        started.set()
        try:
            await asyncio.sleep(FOR_EVER)
        finally:
            ended = True
        return 0.0

    async with PeriodicTask("test", once).running():
        await started.wait()
        assert not ended
    assert ended


async def test_periodic_task_ends_though_it_is_woken_at_the_same_time() -> None:
    async def once() -> float:
        return FOR_EVER

    task = PeriodicTask("test", once)
    async with asyncio.timeout(5), task.running():
        for _ in range(5):
            await asyncio.sleep(0)
        task.wake()
    assert not task.alive
