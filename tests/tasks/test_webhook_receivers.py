"""Receivers of webhooks that want to rest, hang or fail: no other webhook waits for them."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.harness import Service, Start
from support.webhooks import (
    Receiver,
    advance,
    failed_once,
    hook,
    receiver,
    settled,
    with_loopback,
)

from service.config import Config
from service.tasks import webhook_dispatcher


@pytest.fixture
async def service(start: Start, config: Config) -> Service:
    return await start(with_loopback(config))


@pytest.fixture
async def target() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


async def test_failed_delivery_waits_as_long_as_the_receiver_wants(
    service: Service, target: Receiver
) -> None:
    alice = service.alice
    webhook = await hook(alice, target.url)
    target.statuses["/"], target.headers["Retry-After"] = 429, "600"
    await alice.post(f"/api/webhooks/{webhook['id']}/test")
    [row] = await settled(alice, webhook, failed_once)
    assert row["next_attempt_at"] == "2025-01-15T10:10:00"
    target.statuses.clear()
    await alice.post(f"/api/webhooks/{webhook['id']}/test")  # it rests as a whole
    await advance(service, 599)
    await asyncio.sleep(0.05)
    assert len(target.messages) == 1
    await advance(service, 1)
    await target.wait_for(3)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("99999999999", 86_400),
        ("Wed, 15 Jan 2025 10:20:00 GMT", 1_200),
        ("Wed, 15 Jan 2020 10:20:00 GMT", 5),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
        *((text, 5) for text in ("-5", "soon", "\u0663", "1e9", "")),
    ],
)
async def test_time_that_the_receiver_wants_is_bounded(
    service: Service, target: Receiver, monkeypatch: pytest.MonkeyPatch, text: str, seconds: int
) -> None:
    monkeypatch.setattr(webhook_dispatcher, "_JITTER", 0)
    alice = service.alice
    webhook = await hook(alice, target.url)
    target.statuses["/"], target.headers["Retry-After"] = 503, text
    await alice.post(f"/api/webhooks/{webhook['id']}/test")
    [row] = await settled(alice, webhook, failed_once)
    minutes, rest = divmod(seconds, 60)
    day, hour = 15 + seconds // 86_400, 10
    assert row["next_attempt_at"] == f"2025-01-{day}T{hour}:{minutes % 60:02}:{rest:02}"


async def test_receiver_that_hangs_holds_up_no_other(service: Service, target: Receiver) -> None:
    """More webhooks hang than there are places: those that fail have half of the places only."""
    alice, bob = service.alice, service.bob
    for number in range(20):
        await hook(alice, f"{target.url}hang{number}")
        target.hangs.add(f"/hang{number}")
    await hook(bob, f"{target.url}bob")
    for caller in (alice, bob):
        await caller.put_video()
        await caller.share()
    await target.wait_for(1, "/bob")
    for number in range(5):
        await bob.share()
        await target.wait_for(number + 2, "/bob")
    target.closing.set()


async def test_failing_webhooks_leave_half_of_the_places_to_others(
    service: Service, target: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_dispatcher, "_PLACES", 2)
    monkeypatch.setattr(webhook_dispatcher, "_FAILING_PLACES", 1)
    alice, bob = service.alice, service.bob
    bad = [await hook(alice, f"{target.url}bad{number}") for number in range(3)]
    for number in range(3):
        target.statuses[f"/bad{number}"] = 500
    await alice.put_video()
    await alice.share()
    for webhook in bad:
        await settled(alice, webhook, failed_once)
    target.hangs |= {f"/bad{number}" for number in range(3)}
    await advance(service, 10)
    async with asyncio.timeout(20):
        while len(target.messages) < 4:
            await asyncio.sleep(0.01)
    await hook(bob, f"{target.url}bob")
    await bob.put_video()
    for number in range(3):
        await bob.share()
        await target.wait_for(number + 1, "/bob")
    assert len(target.messages) == 4 + 3
    target.closing.set()
