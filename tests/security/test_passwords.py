"""Links with a password: the right one unlocks them, a wrong one does not and costs nothing."""

import asyncio
import dataclasses
import hashlib
import hmac
import re
import threading
import unicodedata
from typing import Any

import pytest
from support.access import (
    JSON,
    PAGE,
    PASSWORD,
    WRONG,
    counted,
    service_with_three_guesses,
    statuses,
    submit,
    token_for,
    tries,
    unlock,
)
from support.database import contents, fetch
from support.harness import Service, Start, is_problem
from support.idempotency import create, is_replay_of
from support.links import LIST, ROUTES, change
from support.pages import text

from service.config import Config
from service.security import passwords
from service.security.passwords import Passwords
from service.web.app_keys import CONFIG

service = pytest.fixture(service_with_three_guesses)


async def test_password_link_opens_with_the_right_password_only(service: Service) -> None:
    report = await service.alice.share(password=PASSWORD)
    assert report["has_password"] == 1
    assert "password" not in report
    share_hash = report["share_hash"]
    assert await statuses(service, share_hash) == [401] * len(ROUTES)
    assert is_problem(await service.public.get(JSON.format(share_hash)), 401, "password-required")
    for password in (None, ""):
        assert is_problem(await unlock(service, share_hash, password), 401, "password-required")
    wrong = await unlock(service, share_hash, WRONG)
    assert is_problem(wrong, 401, "password-required")
    assert WRONG not in wrong.body.decode()
    right = await unlock(service, share_hash, PASSWORD)
    assert right.status == 200
    assert right.json.keys() == {"token", "expires_at"}
    assert right.json["expires_at"] == "2025-01-15T10:15:00"
    assert await statuses(service, share_hash, right.json["token"]) == [200] * len(ROUTES)
    assert await counted(service, report) == 1
    await service.advance(15 * 60)
    assert await statuses(service, share_hash, right.json["token"]) == [401] * len(ROUTES)


async def test_password_page_opens_the_link_and_reports_a_wrong_password(service: Service) -> None:
    report = await service.alice.share(password=PASSWORD, max_views=1)
    wrong = await submit(service, report["share_hash"], password=WRONG)
    assert wrong.status == 401
    assert "This is not the password." in text(wrong)
    assert WRONG not in wrong.body.decode()
    assert "Set-Cookie" not in wrong.headers
    for fields in ({}, {"password": ""}, {"pass": PASSWORD}):
        answer = await submit(service, report["share_hash"], **fields)
        assert answer.status == 401
        assert "This is not the password." not in text(answer)
    assert await counted(service, report) == 0
    assert (await submit(service, report["share_hash"], password=PASSWORD)).status == 303
    assert "Product Demo" in text(await service.public.get(PAGE.format(report["share_hash"])))
    assert await counted(service, report) == 1


async def test_password_that_is_wrong_counts_no_view(
    service: Service,
) -> None:
    report = await service.alice.share(password=PASSWORD, max_views=1)
    share_hash = report["share_hash"]
    assert await tries(service, share_hash, WRONG, WRONG, PASSWORD) == [401, 401, 200]
    assert await tries(service, share_hash, WRONG, PASSWORD) == [410, 410]
    assert await counted(service, report) == 1


@pytest.mark.parametrize(
    "password", ["x", "x" * 200, " ", "pässwörd", "🔑", "\\\"'<>&%00+ =", "p\u0301"]
)
async def test_password_may_be_any_text(service: Service, password: str) -> None:
    for report in (
        await service.alice.share(password=password),
        await change(service, await service.alice.share(), password=password),
    ):
        share_hash = report["share_hash"]
        assert await tries(service, share_hash, password) == [200]
        assert (await submit(service, share_hash, password=password)).status == 303
        service.client.session.cookie_jar.clear()
        assert await tries(service, share_hash, f"{password[:150]}x") == [401]


async def test_password_is_compared_in_normalized_form(service: Service) -> None:
    share_hash = (await service.alice.share(password="caf\u00e9"))["share_hash"]
    assert await tries(service, share_hash, "cafe\u0301", "cafe", "CAF\u00c9") == [200, 401, 401]


@pytest.mark.parametrize("password", ["", "x" * 201, 1, ["x"], "a\u0000b"])
async def test_password_that_is_invalid_is_rejected(service: Service, password: object) -> None:
    report = await service.alice.share()
    body = {"video_id": "job-1", "password": password}
    path = f"/api/shared-reports/{report['id']}"
    for answer in (
        await service.alice.post("/api/shared-reports", body),
        await service.alice.patch(path, {"password": password}),
    ):
        assert answer.status in {400, 422}
        assert "password" in answer.json["detail"] or answer.status == 400
        assert "xxx" not in answer.json["detail"]
    assert (await service.alice.get(LIST)).json == [report]


async def test_password_guess_that_is_too_long_is_not_computed(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Marks that have to be put in order would keep the loop for seconds, scrypt a thread."""
    report = await service.alice.share(password=PASSWORD)
    computed: list[str] = []
    normalize, scrypt = unicodedata.normalize, hashlib.scrypt

    def normalizing(form: Any, said: str) -> str:
        if len(said) > 200:
            computed.append(said)
        return normalize(form, said)

    def scrypting(said: bytes, **cost: Any) -> bytes:
        computed.append(said.decode())
        return scrypt(said, **cost)

    monkeypatch.setattr(unicodedata, "normalize", normalizing)
    monkeypatch.setattr(hashlib, "scrypt", scrypting)
    for _ in range(3):
        answer = await submit(service, report["share_hash"], password="a" + "\u0301\u0316" * 5_000)
        assert answer.status == 401
        assert "This is not the password." in text(answer)
    assert (await submit(service, report["share_hash"], password="x" * 201)).status == 429
    assert not computed


async def test_password_change_ends_earlier_tokens(service: Service) -> None:
    report = await service.alice.share(password=PASSWORD)
    share_hash = report["share_hash"]
    token = await token_for(service, share_hash, PASSWORD)
    assert (await change(service, report, label="x"))["has_password"] == 1
    assert (await statuses(service, share_hash, token))[0] == 200
    for password in ("another", "another"):  # the same again is a new one, too
        await change(service, report, password=password)
        assert await statuses(service, share_hash, token) == [401] * len(ROUTES)
        assert await tries(service, share_hash, PASSWORD) == [401]
        token = await token_for(service, share_hash, password)
        assert (await statuses(service, share_hash, token))[0] == 200
    open_again = await change(service, report, password=None)
    assert (open_again["has_password"], open_again["max_views"]) == (0, None)
    assert await statuses(service, share_hash) == [200] * len(ROUTES)


async def test_password_change_during_a_check_keeps_the_link_locked(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = await service.alice.share(password=PASSWORD, max_views=3)
    is_right = Passwords.is_right

    async def check_and_change(self: Passwords, password: str, digest: str, **caller: Any) -> bool:
        found = await is_right(self, password, digest, **caller)
        await change(service, report, password="another")
        return found

    monkeypatch.setattr(Passwords, "is_right", check_and_change)
    answer = await unlock(service, report["share_hash"], PASSWORD)
    assert is_problem(answer, 401, "password-required")
    assert await counted(service, report) == 0


async def test_passwords_are_checked_two_at_once_without_blocking_others(
    start: Start, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_QUEUE_SIZE", 3)
    service = await start(dataclasses.replace(config, password_rate_limit=7))
    await service.alice.put_video()
    share_hash = (await service.alice.share(password=PASSWORD))["share_hash"]
    plain = (await service.alice.share())["share_hash"]
    gate, lock, at_once, most = threading.Event(), threading.Lock(), 0, 0
    scrypt = hashlib.scrypt

    def slow(*args: Any, **kwargs: Any) -> bytes:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        assert gate.wait(20)
        found: bytes = scrypt(*args, **kwargs)
        with lock:
            at_once -= 1
        return found

    monkeypatch.setattr(hashlib, "scrypt", slow)
    unlocking = [asyncio.create_task(unlock(service, share_hash, PASSWORD)) for _ in range(7)]
    refused, _ = await asyncio.wait(unlocking, return_when=asyncio.FIRST_COMPLETED)
    assert (await service.public.get(JSON.format(plain))).status == 200
    gate.set()
    answers = await asyncio.gather(*unlocking)
    assert sorted(each.status for each in answers) == [200] * 5 + [503] * 2
    assert is_problem(refused.pop().result(), 503, "unavailable")
    assert most == 2
    assert await tries(service, share_hash, *[WRONG] * 8) == [401] * 7 + [429]  # none was a guess


def stored_passwords(service: Service) -> list[str]:
    """What the database has of each link's password."""
    rows = fetch(service.app[CONFIG].database, "SELECT password FROM shared_reports")
    return [password for (password,) in rows]


async def test_password_is_stored_as_scrypt_with_its_own_salt(service: Service) -> None:
    for _ in range(2):
        await service.alice.share(password=PASSWORD)
    stored = stored_passwords(service)
    assert len(set(stored)) == 2
    for each in stored:
        assert re.fullmatch(r"scrypt\$16384\$8\$1\$[\w+/]{22}==\$[\w+/]{43}=", each)


async def test_password_is_in_no_response_and_no_file(service: Service) -> None:
    canary = "canary-password"
    headers = {"Idempotency-Key": "k"}
    body = {"video_id": "job-1", "password": canary}
    made = await service.alice.post("/api/shared-reports", body, headers=headers)
    report = made.json
    told = [made, await service.alice.get(LIST)]
    told.append(
        await service.alice.patch(
            f"/api/shared-reports/{report['id']}", {"password": canary, "max_views": 3}
        )
    )
    told += [await unlock(service, report["share_hash"], canary)]
    told += [await submit(service, report["share_hash"], password=canary)]
    for answer in told:
        assert answer.status in {200, 201, 303}
        assert canary not in answer.body.decode() + repr(answer.headers)
        assert "scrypt" not in answer.body.decode()
    assert canary.encode() not in contents(service.app[CONFIG].database)


async def test_password_is_part_of_an_idempotent_create(service: Service) -> None:
    body = {"video_id": "job-1", "password": PASSWORD}
    first = await create(service.alice, "k", body)
    assert first.json["has_password"] == 1
    await change(service, first.json, password="another")
    assert is_replay_of(await create(service.alice, "k", body), first)
    for other in ({"video_id": "job-1"}, body | {"password": WRONG}):
        assert is_problem(await create(service.alice, "k", other), 422, "invalid-request")
    second, third = [await create(service.alice, key, body) for key in ("l", "m")]
    assert await tries(service, second.json["share_hash"], WRONG, PASSWORD) == [401, 200]
    assert len(set(stored_passwords(service))) == 3  # each key has a salt of its own
    del third


async def test_unlock_of_an_unknown_link_does_not_wait_for_the_body(
    start: Start, config: Config
) -> None:
    service = await start(dataclasses.replace(config, body_timeout=0.2))
    await service.alice.put_video()
    link = (await service.alice.share(password=PASSWORD))["share_hash"]

    async def never() -> Any:
        yield b"{"
        await asyncio.sleep(60)

    for path in ("/api/shared-reports/{}/unlock", "/r/{}"):
        for share_hash, status in (("A" * 16, 404), (link, 408)):
            answer = await service.public.call("POST", path.format(share_hash), data=never())
            assert answer.status == status


async def test_password_check_costs_one_equal_hash_for_any_guess(
    start: Start, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the time of an answer does not tell how much of a password is right."""
    service = await start(dataclasses.replace(config, password_rate_limit=None))
    await service.alice.put_video()
    share_hash = (await service.alice.share(password=PASSWORD))["share_hash"]
    costs: list[tuple[int, int, int]] = []
    scrypt = hashlib.scrypt

    def counting(*args: Any, n: int, r: int, p: int, **kwargs: Any) -> bytes:
        costs.append((n, r, p))
        return scrypt(*args, n=n, r=r, p=p, **kwargs)

    monkeypatch.setattr(hashlib, "scrypt", counting)
    compared: list[int] = []
    compare = hmac.compare_digest

    def comparing(one: Any, other: Any) -> bool:
        compared.append(len(one))
        return compare(one, other)

    monkeypatch.setattr("service.security.passwords.hmac.compare_digest", comparing)
    for password in (PASSWORD, PASSWORD[:-1] + "x", "x", "x" * 200):
        await unlock(service, share_hash, password)
    assert costs == [(2**14, 8, 1)] * 4
    assert compared.count(32) >= 4  # whole digests, in constant time
