"""Lists of one user: how many wait, and whom they keep waiting."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Any

import pytest
from support.harness import Service, database_of, is_problem

from service.repositories.sqlite.engine.worker import CALLER_LIMIT


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.engine("sqlite")
async def test_lists_of_one_user_keep_no_other_caller_waiting(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's list has the next turn but one, and readiness the next."""
    worker = database_of(service.app).read_worker
    fetch_all, finished = worker.fetch_all, []

    def fetch(sql: str, *, caller: Hashable = None, **parameters: object) -> asyncio.Future[Any]:
        future = fetch_all(sql, caller=caller, **parameters)
        future.add_done_callback(lambda _: finished.append(caller))
        return future

    monkeypatch.setattr(worker, "fetch_all", fetch)
    lists = "/api/shared-reports?label=none"
    async with worker.paused():
        flood = [asyncio.create_task(service.alice.get(lists)) for _ in range(CALLER_LIMIT + 9)]
        await until(lambda: sum(task.done() for task in flood) == 9)
        others = [asyncio.create_task(service.bob.get(lists))]
        await until(lambda: worker.waiting == CALLER_LIMIT + 1)
        others.append(asyncio.create_task(service.public.get("/readyz")))
        await until(lambda: worker.waiting > CALLER_LIMIT + 1)
    assert {(await task).status for task in others} == {200}
    answers = [await task for task in flood]
    rejected = [answer for answer in answers if answer.status != 200]
    assert len(rejected) == 9
    assert is_problem(rejected[0], 503, "unavailable")
    assert rejected[0].headers["Retry-After"] == "1"
    alice, bob = service.alice.user_id, service.bob.user_id
    before_bob = finished[: finished.index(bob)]
    assert before_bob.count(alice) <= 2
    assert finished[: finished.index(None)].count(alice) == 1, "the statement that was under way"
