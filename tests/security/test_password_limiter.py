"""The limit of password guesses, by address and link."""

import asyncio
import dataclasses
from typing import Any

import pytest
from support.access import (
    JSON,
    PASSWORD,
    WRONG,
    service_with_three_guesses,
    submit,
    tries,
    unlock,
)
from support.harness import Service, Start, is_problem
from support.limits import LOCAL, is_limit
from support.pages import text

from service.config import Config
from service.security.passwords import Passwords
from service.web.app_keys import PASSWORD_LIMITER

service = pytest.fixture(service_with_three_guesses)


async def test_password_limiter_counts_guesses_by_address_and_link(
    start: Start, config: Config
) -> None:
    service = await start(dataclasses.replace(config, password_rate_limit=3, trusted_proxies=LOCAL))
    await service.alice.put_video()
    one, other = [(await service.alice.share(password=PASSWORD))["share_hash"] for _ in range(2)]
    here = {"headers": {"X-Forwarded-For": "203.0.113.7"}}
    there = {"headers": {"X-Forwarded-For": "203.0.113.8"}}
    assert await tries(service, one, *[PASSWORD] * 9, **here) == [200] * 9  # are no guesses
    assert await tries(service, one, *[WRONG] * 4, **here) == [401, 401, 401, 429]
    answer = await service.public.post(f"{JSON.format(one)}/unlock", {"password": PASSWORD}, **here)
    assert is_limit(answer, "passwords", 3, 20)  # the right one waits, too
    assert is_problem(answer, 429, "too-many-requests")
    assert await tries(service, one, PASSWORD, **there) == [200]
    assert await tries(service, other, PASSWORD, **here) == [200]
    await service.advance(20)
    assert await tries(service, one, PASSWORD, **here) == [200]
    assert await tries(service, one, WRONG, WRONG, **here) == [401, 429]
    assert (await service.public.get("/api/shared-reports/" + "A" * 16, **here)).status == 404


async def test_password_page_tells_a_limited_viewer_to_wait(service: Service) -> None:
    share_hash = (await service.alice.share(password=PASSWORD))["share_hash"]
    await tries(service, share_hash, WRONG, WRONG, WRONG)
    answer = await submit(service, share_hash, password=PASSWORD)
    assert is_limit(answer, "passwords", 3, 20)
    assert "Too many tries. Wait 20 s and try again." in text(answer)
    await service.advance(20)
    assert (await submit(service, share_hash, password=PASSWORD)).status == 303


async def test_password_limiter_rejects_guesses_without_computing_them(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    share_hash = (await service.alice.share(password=PASSWORD))["share_hash"]
    checked = 0
    is_right = Passwords.is_right

    async def count(self: Passwords, password: str, digest: str, **caller: Any) -> bool:
        nonlocal checked
        checked += 1
        return await is_right(self, password, digest, **caller)

    monkeypatch.setattr(Passwords, "is_right", count)
    answers = await asyncio.gather(*(unlock(service, share_hash, WRONG) for _ in range(30)))
    assert sorted(each.status for each in answers) == [401] * 3 + [429] * 27
    assert checked == 3


async def test_password_limiter_can_be_switched_off(start: Start, config: Config) -> None:
    service = await start(dataclasses.replace(config, password_rate_limit=None))
    await service.alice.put_video()
    share_hash = (await service.alice.share(password=PASSWORD))["share_hash"]
    assert await tries(service, share_hash, *[WRONG] * 12, PASSWORD) == [401] * 12 + [200]
    assert len(service.app[PASSWORD_LIMITER]) == 0
