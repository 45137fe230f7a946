"""Lists of one user: how many wait, and whom they keep waiting."""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any

import pytest
from support.harness import Start, is_problem
from support.workers import held, list_worker_of

from service.config import Config
from service.repositories.sqlite.engine.worker import CALLER_LIMIT


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


async def test_lists_of_one_user_keep_no_other_caller_waiting(
    start: Start, config: Config, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """Another user's list has the next turn but one, and readiness the next."""
    service = await start(replace(config, postgresql_connections=3))  # one of them for lists
    worker = list_worker_of(service.app)
    fetch_all: Any = worker.fetch_all
    asked: list[Hashable] = []
    finished: list[Hashable] = []

    def fetch(
        statement: object, *, caller: Hashable = None, **parameters: object
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = fetch_all(statement, caller=caller, **parameters)
        future.add_done_callback(lambda _: finished.append(caller))
        asked.append(caller)
        return future

    monkeypatch.setattr(worker, "fetch_all", fetch)
    lists = "/api/shared-reports?label=none"
    await service.bob.get(lists)  # the service's own turns in a row begin anew
    asked.clear()
    finished.clear()
    async with held(worker):
        flood = [asyncio.create_task(service.alice.get(lists)) for _ in range(CALLER_LIMIT + 9)]
        await until(lambda: sum(task.done() for task in flood) == 9)
        others = [asyncio.create_task(service.bob.get(lists))]
        await until(lambda: worker.waiting == CALLER_LIMIT + 1)
        others.append(asyncio.create_task(service.public.get("/readyz")))
        await until(lambda: None in asked)
    assert {(await task).status for task in others} == {200}
    answers = [await task for task in flood]
    rejected = [answer for answer in answers if answer.status != 200]
    assert len(rejected) == 9
    assert is_problem(rejected[0], 503, "unavailable")
    assert rejected[0].headers["Retry-After"] == "1"
    alice, bob = service.alice.user_id, service.bob.user_id
    before_bob = finished[: finished.index(bob)]
    assert before_bob.count(alice) <= 2
    under_way = 1 if engine == "sqlite" else 0  # PostgreSQL's worker was held before the first list
    assert finished[: finished.index(None)].count(alice) == under_way
