"""An unlock that is sent again: one view, and the same grant, however often it comes."""

import asyncio
import re
from typing import Any

import pytest
from aiohttp import DummyCookieJar
from support.access import JSON, PAGE, PASSWORD, counted, submit
from support.harness import Response, Service, is_problem
from support.workers import held, wait_for_queue, writer_of

from service.web.app_keys import ACCESS


@pytest.fixture
async def service(service: Service) -> Service:
    await service.alice.put_video()
    service.client.session._cookie_jar = DummyCookieJar()  # a browser that has got no answer
    return service


async def unlock(
    service: Service, report: Any, key: str | None = "k", password: str | None = None
) -> Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {} if password is None else {"password": password}
    path = f"{JSON.format(report['share_hash'])}/unlock"
    return await service.public.post(path, body, headers=headers)


async def form_key(service: Service, report: Any) -> str:
    page = (await service.public.get(PAGE.format(report["share_hash"]))).body.decode()
    match = re.search('<input type="hidden" name="key" value="([0-9a-f]{32})">', page)
    assert match is not None
    return match[1]


async def test_unlock_with_the_same_key_is_one_view_and_the_same_token(service: Service) -> None:
    report = await service.alice.share(max_views=1)
    answers = [await unlock(service, report) for _ in range(3)]
    assert [answer.status for answer in answers] == [200] * 3
    assert len({answer.body for answer in answers}) == 1
    assert is_problem(await unlock(service, report, "another"), 410, "exhausted")
    assert is_problem(await unlock(service, report, None), 410, "exhausted")
    assert await counted(service, report) == 1
    await service.advance(15 * 60)
    assert is_problem(await unlock(service, report), 410, "exhausted")


async def test_unlocks_at_once_with_the_same_key_are_one_view(service: Service) -> None:
    report = await service.alice.share(max_views=2)
    answers = await asyncio.gather(*(unlock(service, report) for _ in range(20)))
    assert {answer.body for answer in answers} == {answers[0].body}
    assert await counted(service, report) == 1


async def test_unlock_form_sent_twice_is_one_view(service: Service) -> None:
    report = await service.alice.share(max_views=1)
    key = await form_key(service, report)
    assert key != await form_key(service, report)
    answers = [await submit(service, report["share_hash"], key=key) for _ in range(2)]
    assert [answer.status for answer in answers] == [303, 303]
    cookies = [answer.headers["Set-Cookie"] for answer in answers]
    assert cookies[0] == cookies[1]
    for fields in ({}, {"key": "0" * 32}, {"key": ""}, {"key": "\0é"}):
        assert (await submit(service, report["share_hash"], **fields)).status == 410
    assert await counted(service, report) == 1


async def test_unlock_of_a_client_that_left_can_be_repeated(service: Service) -> None:
    report = await service.alice.share(max_views=1)
    access = service.app[ACCESS]
    requirements = await access.requirements(report["share_hash"])
    share_hash = report["share_hash"]

    def call() -> Any:
        return access.unlock_once(share_hash, "k", "", lambda: access.unlock(requirements))

    async with held(writer_of(service.app)):
        first = asyncio.create_task(call())
        await wait_for_queue(writer_of(service.app), 1)
        first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await access.check(share_hash, (await call()).token)
    assert await counted(service, report) == 1


async def test_unlock_key_grants_nothing_without_the_password(service: Service) -> None:
    report = await service.alice.share(password=PASSWORD, max_views=1)
    assert is_problem(await unlock(service, report, "k", "wrong"), 401, "password-required")
    assert (await unlock(service, report, "k", PASSWORD)).status == 200
    assert is_problem(await unlock(service, report, "k", "wrong"), 410, "exhausted")
    assert (await unlock(service, report, "k", PASSWORD)).status == 200
    other = await service.alice.share(password=PASSWORD)
    assert (await unlock(service, other, "k", PASSWORD)).status == 200
    assert await counted(service, other) == 1


@pytest.mark.parametrize("end", ["revoke", "rotate", "switch off"])
async def test_unlock_repeated_after_the_link_ended_grants_nothing(
    service: Service, end: str
) -> None:
    report = await service.alice.share(max_views=1)
    path = f"/api/shared-reports/{report['id']}"
    assert (await unlock(service, report)).status == 200
    if end == "revoke":
        await service.alice.delete(path)
    elif end == "rotate":
        await service.alice.post(f"{path}/rotate")
    else:
        await service.alice.patch(path, {"is_active": False})
    assert is_problem(await unlock(service, report), 404, "not-found")


async def test_remembered_unlocks_are_bounded(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.sharing.access._REPEATABLE_MAX", 2)
    reports = [await service.alice.share(max_views=1) for _ in range(3)]
    for report in reports:
        assert (await unlock(service, report)).status == 200
    assert [(await unlock(service, report)).status for report in reports] == [410, 200, 200]


@pytest.mark.parametrize("key", ["", "x" * 256, "ü"])
async def test_unlock_rejects_a_malformed_key(service: Service, key: str) -> None:
    report = await service.alice.share(max_views=1)
    assert is_problem(await unlock(service, report, key), 422, "invalid-request")
    assert await counted(service, report) == 0
