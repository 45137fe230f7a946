"""Webhooks when instances share a database, stop, die, and go on later."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from support.harness import Caller, Service, Start
from support.metrics import scrape
from support.webhooks import (
    Receiver,
    advance,
    deliveries,
    hook,
    receiver,
    settled,
    with_loopback,
)

from service.config import Config
from service.domain.errors import UnavailableError
from service.repositories.base_webhooks import LEASE_SECONDS
from service.web.app_keys import REPOSITORIES, WEBHOOKS


@pytest.fixture
async def target() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


@pytest.fixture
async def service(start: Start, config: Config) -> Service:
    return await start(with_loopback(config))


def at(service: Service, caller: Caller) -> Caller:
    """The same user at another instance."""
    return Caller(service.client, caller.key, caller.user_id)


@pytest.mark.engine("postgresql")
async def test_instances_make_each_delivery_once_and_in_order(
    start: Start, config: Config, target: Receiver
) -> None:
    services = [await start(with_loopback(config)) for _ in range(3)]
    alice = services[0].alice
    webhook = await hook(alice, target.url)
    await alice.put_video()
    callers = [at(service, alice) for service in services]
    for _ in range(10):
        await asyncio.gather(*(caller.share() for caller in callers * 5))
    messages = await target.wait_for(150)
    await settled(alice, webhook)
    assert len(target.messages) == 150
    events = [int(message.id.split("_")[1]) for message in messages]
    assert events == sorted(events)


@pytest.mark.engine("postgresql")
async def test_instance_takes_over_when_the_lease_of_another_ends(
    start: Start, config: Config, target: Receiver
) -> None:
    """The first holds a try that hangs, as if it had died; what it writes later is refused."""
    first, second = [await start(with_loopback(config)) for _ in range(2)]
    alice = first.alice
    webhook = await hook(alice, target.url)
    target.hangs.add("/")
    await alice.post(f"/api/webhooks/{webhook['id']}/test")
    await target.wait_for(1)
    target.hangs.clear()
    await advance(second, LEASE_SECONDS - 1)
    await asyncio.sleep(0.1)
    assert len(target.messages) == 1
    await advance(second, 1)
    one, two = await target.wait_for(2)
    assert one.id == two.id
    [row] = await settled(alice, webhook)
    target.statuses["/"] = 500
    target.closing.set()
    await asyncio.sleep(0.2)
    assert await deliveries(alice, webhook) == [row]
    seen = (await alice.get(f"/api/webhooks/{webhook['id']}")).json
    assert seen["failing_since"] is None


async def test_dispatcher_that_stops_leaves_its_webhooks_to_the_next(
    start: Start, config: Config, target: Receiver
) -> None:
    first = await start(with_loopback(config))
    alice = first.alice
    webhook = await hook(alice, target.url)
    target.hangs.add("/")
    await alice.post(f"/api/webhooks/{webhook['id']}/test")
    await target.wait_for(1)
    begin = time.monotonic()
    await first.client.close()
    assert time.monotonic() - begin < 2  # though the receiver hangs
    target.hangs.clear()
    second = await start(with_loopback(config))
    one, two = await target.wait_for(2)  # at once, not when the lease would have ended
    assert one.id == two.id
    await settled(at(second, alice), webhook)


async def test_dispatcher_goes_on_after_the_database_failed(
    service: Service, target: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = service.alice
    webhook = await hook(alice, target.url)
    queue = service.app[REPOSITORIES].webhook_queue

    async def fail(*_: object, **__: object) -> None:
        raise UnavailableError("Not now.")

    for name in ("due", "record", "claim"):
        with monkeypatch.context() as context:
            context.setattr(type(queue), name, fail)
            await alice.post(f"/api/webhooks/{webhook['id']}/test")
            await asyncio.sleep(0.1)
        await advance(service, LEASE_SECONDS)
        await settled(alice, webhook)
    assert (await alice.get("/readyz")).json["status"] == "ok"


async def test_dispatcher_that_is_stuck_is_noted_and_stays_ready(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ready() -> tuple[int, list[str]]:
        answer = await service.public.get("/readyz")
        return answer.status, answer.json.get("notes", [])

    task = service.app[WEBHOOKS].task
    status, notes = await ready()
    assert (status, [note for note in notes if "webhooks" in note]) == (200, [])
    for name, value, expected in (
        ("failures", 3, "webhooks: the last 3 passes of the dispatcher failed"),
        ("due", time.monotonic() - 60, "webhooks: the dispatcher is late"),
        ("_task", None, "webhooks: the dispatcher is not running"),
    ):
        with monkeypatch.context() as context:
            context.setattr(task, name, value)
            status, notes = await ready()
            assert (status, expected in notes) == (200, True)


async def test_metrics_show_the_backlog_and_the_results(service: Service, target: Receiver) -> None:
    alice = service.alice
    prefix = "shared_reports_webhook"
    before = await scrape(service.public)
    assert (before[f"{prefix}_backlog"], before[f"{prefix}_backlog_age_seconds"]) == (0, 0)
    webhook = await hook(alice, target.url)
    await alice.post(f"/api/webhooks/{webhook['id']}/test")
    await settled(alice, webhook)
    target.statuses["/"] = 500
    await alice.post(f"/api/webhooks/{webhook['id']}/test")
    await target.wait_for(2)
    await settled(alice, webhook, lambda rows: all(row["attempts"] for row in rows))
    await service.advance(3)
    after = await scrape(service.public)
    assert (after[f"{prefix}_backlog"], after[f"{prefix}_backlog_age_seconds"]) == (1, 3)
    assert after[f'{prefix}_attempts_total{{result="delivered"}}'] == 1
    assert after[f'{prefix}_attempts_total{{result="retried"}}'] == 1
    assert after[f"{prefix}_attempt_duration_seconds_count"] == 2


async def test_deliveries_are_purged_with_their_events(service: Service, target: Receiver) -> None:
    alice = service.alice
    webhook = await hook(alice, target.url)
    await alice.put_video()
    await alice.share()
    await settled(alice, webhook)
    await service.advance(29 * 86_400)
    await alice.share()
    await target.wait_for(2)
    await settled(alice, webhook)
    await service.advance(86_400 + 1)
    await service.sweep()
    [row] = await deliveries(alice, webhook)
    assert row["created_at"] == "2025-02-13T10:00:00"


async def test_dispatcher_makes_no_statements_without_webhooks(service: Service) -> None:
    """It looks every ten seconds, and the writes of users do not wake it."""
    dispatcher = service.app[WEBHOOKS]
    await asyncio.sleep(0.05)
    due = dispatcher.task.due
    await service.alice.put_video()
    for _ in range(3):
        await service.alice.share()
    await asyncio.sleep(0.05)
    assert dispatcher.task.due == due
    assert due > time.monotonic() + 5


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_deliveries_of_10000_events_are_in_their_order(
    service: Service, target: Receiver
) -> None:
    alice = service.alice
    webhook = await hook(alice, target.url)
    await alice.put_video()
    begin = time.monotonic()
    for _ in range(100):
        await asyncio.gather(*(alice.share() for _ in range(100)))
    created = time.monotonic() - begin
    async with asyncio.timeout(200):
        while len(target.messages) < 10_000:
            await asyncio.sleep(0.1)
    print(f"created in {created:.1f} s, delivered in {time.monotonic() - begin:.1f} s")
    events = [int(message.id.split("_")[1]) for message in target.messages]
    assert events == sorted(set(events))
    assert len(events) == 10_000
    await settled(alice, webhook)
