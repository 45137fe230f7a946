"""Deliveries of webhooks: at least once, in order, signed, and no receiver holds up another."""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from standardwebhooks import Webhook
from support.harness import Service, Start, segment
from support.webhooks import (
    Receiver,
    advance,
    deliveries,
    failed_once,
    hook,
    receiver,
    settled,
    tried,
    with_loopback,
)

from service.config import Config
from service.domain.webhooks import DELAYS
from service.tasks import webhook_dispatcher


@pytest.fixture
async def service(start: Start, config: Config) -> Service:
    return await start(with_loopback(config))


@pytest.fixture
async def target() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


async def test_delivery_tells_of_the_event_as_the_owner_sees_it(
    service: Service, target: Receiver
) -> None:
    alice = service.alice
    webhook = await hook(alice, target.url)
    await alice.put_video(segments=[segment(0, 1)])
    report = await alice.share(label="für alle")
    [message] = await target.wait_for(1)
    assert message.json == {
        "type": "shared_report.created",
        "timestamp": f"{report['created_at']}Z",
        "data": {name: value for name, value in report.items() if name != "share_hash"},
    }
    assert report["share_hash"].encode() not in message.body
    assert message.headers["content-type"] == "application/json"
    assert message.headers["user-agent"].startswith("shared-reports/")
    [row] = await settled(alice, webhook)
    assert row == {
        "id": row["id"],
        "event_id": row["event_id"],
        "type": "shared_report.created",
        "status": "delivered",
        "attempts": 1,
        "created_at": report["created_at"],
        "last_attempt_at": "2025-01-15T10:00:00",
        "status_code": 200,
        "error": None,
        "next_attempt_at": None,
    }


async def test_delivery_is_signed_and_verified_by_the_specifications_library(
    service: Service, target: Receiver
) -> None:
    alice = service.alice
    service.clock.seconds = time.time()
    webhook = await hook(alice, target.url)
    await alice.post(f"/api/webhooks/{webhook['id']}/test")
    [message] = await target.wait_for(1)
    body = Webhook(webhook["secret"]).verify(message.body, message.headers)
    assert body["type"] == "webhook.test"
    assert body["data"] == {"webhook_id": webhook["id"]}


async def test_delivery_is_signed_by_both_secrets_for_a_day(
    service: Service, target: Receiver
) -> None:
    alice = service.alice
    service.clock.seconds = time.time()
    webhook = await hook(alice, target.url)
    rotated = (await alice.post(f"/api/webhooks/{webhook['id']}/rotate")).json
    assert rotated["secret"] != webhook["secret"]
    await alice.post(f"/api/webhooks/{webhook['id']}/test")
    [message] = await target.wait_for(1)
    for secret in (webhook["secret"], rotated["secret"]):
        Webhook(secret).verify(message.body, message.headers)
    await settled(alice, webhook)
    await service.advance(24 * 3600)
    for count in (2, 3):  # a claim that has not ended yet may sign once more by both
        await alice.post(f"/api/webhooks/{webhook['id']}/test")
        message = (await target.wait_for(count))[-1]
        await settled(alice, webhook)
    assert len(message.headers["webhook-signature"].split()) == 1


async def test_deliveries_are_of_the_types_that_are_asked_for(
    service: Service, target: Receiver
) -> None:
    alice, bob = service.alice, service.bob
    await hook(alice, f"{target.url}some", events=["shared_report.revoked", "video.deleted"])
    await hook(alice, f"{target.url}all")
    await hook(bob, f"{target.url}bob")
    await alice.put_video()
    report = await alice.share()
    await alice.delete(f"/api/shared-reports/{report['id']}")
    await alice.delete("/api/videos/job-1")
    await target.wait_for(3, "/all")
    some = await target.wait_for(2, "/some")
    assert [message.json["type"] for message in target.at("/all")] == [
        *("shared_report.created", "shared_report.revoked", "video.deleted")
    ]
    assert [message.json["type"] for message in some] == ["shared_report.revoked", "video.deleted"]
    assert target.at("/bob") == []


async def test_deliveries_of_a_well_receiver_are_in_the_order_of_events(
    service: Service, target: Receiver
) -> None:
    alice = service.alice
    webhook = await hook(alice, target.url)
    await alice.put_video()
    for _ in range(10):
        await asyncio.gather(*(alice.share() for _ in range(20)))
    messages = await target.wait_for(200)
    ids = [int(message.json["data"]["id"]) for message in messages]
    assert ids == sorted(ids)
    assert len({message.id for message in messages}) == 200
    rows = await settled(alice, webhook)
    assert [row["attempts"] for row in rows] == [1] * 200


async def test_failed_delivery_is_tried_again_by_the_schedule(
    service: Service, target: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_dispatcher, "_JITTER", 0)
    monkeypatch.setattr(webhook_dispatcher, "_REST_AFTER", 100)
    alice = service.alice
    webhook = await hook(alice, target.url)
    target.statuses["/"] = 500
    await alice.post(f"/api/webhooks/{webhook['id']}/test")
    for number, delay in enumerate(DELAYS[1:], 1):
        [row] = await settled(alice, webhook, tried(number))
        assert row["status"] == "pending"
        assert (row["status_code"], row["error"]) == (500, "The answer had the status 500.")
        if delay > 5:
            await advance(service, delay - 1)
            await asyncio.sleep(0.05)
            assert len(target.messages) == number
            await advance(service, 1)
        else:
            await advance(service, delay)
        await target.wait_for(number + 1)
    [row] = await settled(alice, webhook, lambda rows: rows[0]["status"] == "failed")
    assert (row["attempts"], row["next_attempt_at"]) == (10, None)
    assert len({message.id for message in target.messages}) == 1
    signed = [int(message.headers["webhook-timestamp"]) for message in target.messages]
    assert [b - a for a, b in pairwise(signed)] == list(DELAYS[1:])


async def test_webhook_is_switched_off_by_410(service: Service, target: Receiver) -> None:
    alice = service.alice
    webhook = await hook(alice, target.url)
    target.statuses["/"] = 410
    path = f"/api/webhooks/{webhook['id']}"
    await alice.post(f"{path}/test")
    async with asyncio.timeout(20):
        while (seen := (await alice.get(path)).json)["is_active"]:
            await asyncio.sleep(0.01)
    assert seen["disabled_reason"] == "The receiver answered 410 (Gone)."
    await alice.put_video()
    await alice.share()
    assert len(await deliveries(alice, webhook)) == 1  # no event is delivered while it is off
    for what in ("test", f"deliveries/{(await deliveries(alice, webhook))[0]['id']}/retry"):
        assert (await alice.post(f"{path}/{what}")).status == 409
    target.statuses.clear()
    seen = (await alice.patch(path, {"is_active": True})).json
    assert (seen["is_active"], seen["disabled_reason"], seen["failing_since"]) == (1, None, None)
    await advance(service, 6)
    await target.wait_for(2)  # what was pending is made
    await settled(alice, webhook)


async def test_webhook_is_switched_off_after_five_days_of_failure(
    service: Service, target: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_dispatcher, "_REST_AFTER", 100)
    alice = service.alice
    webhook = await hook(alice, target.url)
    path = f"/api/webhooks/{webhook['id']}"
    target.statuses["/"] = 500
    for number, days in enumerate((0, 2.5, 2.4), 1):
        await service.advance(days * 86_400)
        await alice.post(f"{path}/test")
        await settled(alice, webhook, failed_once)
        await target.wait_for(number)
        async with asyncio.timeout(20):
            while (seen := (await alice.get(path)).json)["failing_since"] is None:
                await asyncio.sleep(0.01)
        assert (seen["is_active"], seen["failing_since"]) == (1, "2025-01-15T10:00:00")
    await service.advance(0.2 * 86_400)
    await alice.post(f"{path}/test")
    async with asyncio.timeout(20):
        while (seen := (await alice.get(path)).json)["is_active"]:
            await asyncio.sleep(0.01)
    assert seen["disabled_reason"] == (
        "All tries have failed for 5 days. The latest: The answer had the status 500."
    )


async def test_webhook_that_recovers_is_failing_no_longer(
    service: Service, target: Receiver
) -> None:
    alice = service.alice
    webhook = await hook(alice, target.url)
    target.statuses["/"] = 500
    await alice.post(f"/api/webhooks/{webhook['id']}/test")
    await settled(alice, webhook, failed_once)
    target.statuses.clear()
    await advance(service, 7)
    await settled(alice, webhook)
    seen = (await alice.get(f"/api/webhooks/{webhook['id']}")).json
    assert (seen["failing_since"], seen["is_active"]) == (None, 1)


async def test_delivery_is_made_again_if_its_user_wants(service: Service, target: Receiver) -> None:
    alice = service.alice
    webhook = await hook(alice, target.url)
    await alice.put_video()
    await alice.share()
    [row] = await settled(alice, webhook)
    path = f"/api/webhooks/{webhook['id']}/deliveries/{row['id']}/retry"
    again = await alice.post(path)
    assert (again.status, again.json["status"]) == (202, "pending")
    first, second = await target.wait_for(2)
    assert (first.id, first.body) == (second.id, second.body)
    [row] = await settled(alice, webhook, tried(2))
    assert row["status"] == "delivered"


async def test_webhook_that_is_deleted_gets_nothing_more(
    service: Service, target: Receiver
) -> None:
    alice = service.alice
    webhook = await hook(alice, target.url)
    target.statuses["/"] = 500
    await alice.put_video()
    await alice.share()
    await settled(alice, webhook, failed_once)
    assert (await alice.delete(f"/api/webhooks/{webhook['id']}")).json == {"ok": True}
    await advance(service, 10)
    await alice.share()
    await asyncio.sleep(0.1)
    assert len(target.messages) == 1
