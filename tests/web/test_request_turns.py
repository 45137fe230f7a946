"""Requests of one caller on many connections, and another caller's request."""

import asyncio

import pytest
from support.harness import Service

from service.concurrency import loop_turns


@pytest.fixture
def callers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The callers of the requests that have to wait for a turn."""
    waiting: list[str] = []
    monkeypatch.setattr(loop_turns.LoopTurns, "start", lambda _: False)

    def wait(_: loop_turns.LoopTurns, caller: str) -> "asyncio.Future[None]":
        waiting.append(caller)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        turn.set_result(None)
        return turn

    monkeypatch.setattr(loop_turns.LoopTurns, "wait", wait)
    return waiting


async def test_caller_is_the_user_once_a_key_was_valid_on_its_connection(
    service: Service, callers: list[str]
) -> None:
    """An unknown key is no caller of its own, and a request without one is its address's."""
    for _ in range(2):
        assert (await service.alice.get("/api/videos")).status == 200
    wrong = {"Authorization": f"lvz_live_{'0' * 64}"}
    for _ in range(2):
        assert (await service.public.get("/api/videos", headers=wrong)).status == 401
    assert (await service.public.get("/livez")).status == 200
    assert (await service.alice.get("/api/videos")).status == 200
    address, user = "127.0.0.1", f"user {service.alice.user_id}"
    assert callers == [address, user, address, address, address, user]
