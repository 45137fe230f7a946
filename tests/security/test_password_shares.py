"""Passwords: one caller's hashing keeps no other caller waiting."""

import asyncio
import dataclasses
import hashlib
import threading
from typing import Any

import pytest
from support.access import PASSWORD, unlock
from support.harness import Caller, Start
from support.limits import is_limit

from service.config import Config
from service.web.app_keys import PASSWORDS


class _Held:
    """Stands in for scrypt: computes nothing until it is let go, and notes the order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gate = threading.Event()
        self.computed: list[str] = []
        self._scrypt = hashlib.scrypt
        monkeypatch.setattr(hashlib, "scrypt", self)

    def __call__(self, secret: bytes, **cost: Any) -> bytes:
        assert self.gate.wait(20)
        self.computed.append(secret.decode())
        digest: bytes = self._scrypt(secret, **cost)
        return digest


async def test_passwords_of_one_owner_do_not_keep_a_viewer_out(
    start: Start, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many changes at once: most are 503, and the unlock has the next turn but one."""
    service = await start(dataclasses.replace(config, create_rate_limit=None))
    await service.alice.put_video()
    await service.bob.put_video()
    owned = await service.alice.share()
    share_hash = (await service.bob.share(password=PASSWORD))["share_hash"]
    held = _Held(monkeypatch)
    path = f"/api/shared-reports/{owned['id']}"
    changes = [
        asyncio.create_task(service.alice.patch(path, {"password": f"{n}"})) for n in range(110)
    ]
    while sum(task.done() for task in changes) < 98:  # 2 are computed, 10 wait
        await asyncio.sleep(0.01)
    unlocked = asyncio.create_task(unlock(service, share_hash, PASSWORD))
    while service.app[PASSWORDS].pool.queue_length < 11:
        await asyncio.sleep(0.01)
    held.gate.set()
    assert (await unlocked).status == 200
    answers = await asyncio.gather(*changes)
    assert sorted(answer.status for answer in answers) == [200] * 12 + [503] * 98
    assert held.computed.index(PASSWORD) <= 4


@pytest.mark.parametrize("method", ["PATCH", "POST", "POST with an Idempotency-Key"])
async def test_passwords_by_all_keys_of_one_owner_have_one_share(
    start: Start, config: Config, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    service = await start(dataclasses.replace(config, create_rate_limit=None))
    await service.alice.put_video()
    await service.bob.put_video()
    owned = await service.alice.share()
    share_hash = (await service.bob.share(password=PASSWORD))["share_hash"]
    keys = [(await service.alice.post("/api/keys", {"name": "x"})).json for _ in range(12)]
    callers = [Caller(service.client, key["raw_key"]) for key in keys]
    held = _Held(monkeypatch)
    if method == "PATCH":
        path, body = f"/api/shared-reports/{owned['id']}", {}
    else:
        path, body = "/api/shared-reports", {"video_id": "job-1"}
    calls = [
        asyncio.create_task(
            callers[n % 12].call(
                method.partition(" ")[0],
                path,
                body | {"password": f"{n}"},
                headers={"Idempotency-Key": f"k{n}"} if "Key" in method else {},
            )
        )
        for n in range(110)
    ]
    while service.app[PASSWORDS].pool.queue_length + sum(task.done() for task in calls) < 108:
        await asyncio.sleep(0.01)
    assert service.app[PASSWORDS].pool.queue_length == 10
    unlocked = asyncio.create_task(unlock(service, share_hash, PASSWORD))
    while service.app[PASSWORDS].pool.queue_length < 11:
        await asyncio.sleep(0.01)
    held.gate.set()
    assert (await unlocked).status == 200
    assert held.computed.index(PASSWORD) <= 4
    answers = await asyncio.gather(*calls)
    assert sorted(answer.status < 300 for answer in answers) == [False] * 98 + [True] * 12


async def test_passwords_set_by_a_change_are_limited_as_creates(
    start: Start, config: Config
) -> None:
    service = await start(dataclasses.replace(config, create_rate_limit=4))
    await service.alice.put_video()
    report = await service.alice.share()
    path = f"/api/shared-reports/{report['id']}"
    given = ["a", None, "b", None, "c"]
    answers = [await service.alice.patch(path, {"password": each}) for each in given]
    assert [answer.status for answer in answers] == [200, 200, 200, 200, 429]
    assert is_limit(answers[-1], "creates", 4, 15)
    assert (await service.alice.patch(path, {"label": "x"})).status == 200
