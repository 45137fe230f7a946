"""Requests that start in one turn of the event loop."""

import asyncio

from service.concurrency.loop_turns import LoopTurns


async def start(turns: LoopTurns, caller: str, started: list[tuple[int, str]]) -> None:
    if not turns.start():
        await turns.wait(caller)
    started.append((turn[0], caller))


turn = [0]


async def turn_by_turn(count: int) -> None:
    for turn[0] in range(count):
        await asyncio.sleep(0)


async def test_loop_turns_start_few_requests_in_a_turn() -> None:
    turns, started = LoopTurns(4), list[tuple[int, str]]()
    tasks = [asyncio.create_task(start(turns, "a", started)) for _ in range(18)]
    await turn_by_turn(10)
    await asyncio.gather(*tasks)
    numbers = [number for number, _ in started]
    assert len(started) == 18
    assert max(map(numbers.count, numbers)) == 4
    assert turns.start(), "nothing is left of the turns before"


async def test_loop_turns_give_callers_equal_shares() -> None:
    """A request of another caller starts within three turns, however many wait."""
    turns, started = LoopTurns(4), list[tuple[int, str]]()
    tasks = [asyncio.create_task(start(turns, "a", started)) for _ in range(40)]
    await turn_by_turn(2)
    count = len(started)
    tasks.append(asyncio.create_task(start(turns, "b", started)))
    await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert [caller for _, caller in started].index("b") <= count + 3 * 4


async def test_loop_turns_pass_over_requests_that_are_cancelled() -> None:
    turns, started = LoopTurns(1), list[tuple[int, str]]()
    tasks = [asyncio.create_task(start(turns, "a", started)) for _ in range(4)]
    await asyncio.sleep(0)
    for task in tasks[1:3]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(started) == 2
