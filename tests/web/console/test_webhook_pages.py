"""Events and webhooks in the console: switch, create, deliver, retry."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from support.console import Console, fill, signed_in, text_of
from support.harness import Caller, Service, Start
from support.webhooks import Receiver, deliveries, hook, receiver, settled, with_loopback

from service.config import Config


@dataclass
class World:
    service: Service
    console: Console
    receiver: Receiver

    @property
    def alice(self) -> Caller:
        return self.service.alice


@pytest.fixture
async def world(start: Start, config: Config) -> AsyncIterator[World]:
    service = await start(with_loopback(config))
    await service.alice.put_video()
    async with receiver() as made:
        yield World(service, await signed_in(service, service.alice), made)


async def test_events_are_switched_on_and_listed(world: World) -> None:
    console, alice = world.console, world.alice
    assert "There are no events yet." in text_of(await console.get("/events"))
    answer = await console.submit("/events")
    assert answer.headers["Location"] == "events?done=switched-on"
    link = await alice.share(label="press")
    await alice.patch(f"/api/shared-reports/{link['id']}", {"label": "jury"})
    await alice.delete("/api/videos/job-1")
    page = text_of(await console.get("/events"))
    types = re.findall(r"(?:shared_report|video)\.\w+ (?:press|jury|Product Demo)", page)
    assert types[:2] == ["shared_report.created press", "shared_report.changed jury"]
    assert "video.deleted Product Demo" in page
    assert link["share_hash"] not in (await console.get("/events")).body.decode()
    filtered = text_of(await console.get("/events?type=video.deleted"))
    assert "video.deleted Product Demo" in filtered
    assert "press" not in filtered
    first = await console.get("/events?limit=1")
    following = first.body.decode().partition('rel="next"')[0].rpartition('href="')[2]
    second = await console.get(f"/events{following.partition(chr(34))[0].replace('&amp;', '&')}")
    assert "shared_report.changed jury" in text_of(second)
    assert b"First page" in second.body
    for query in ("type=lost", "after=x", "limit=0"):
        wrong = await console.get(f"/events?{query}")
        assert (wrong.status, b'role="alert"' in wrong.body) == (200, True), query
    await console.submit("/events")
    assert not (await alice.get("/api/events")).json["enabled"]


async def test_webhook_is_created_and_its_secret_shown_once(world: World) -> None:
    console, alice = world.console, world.alice
    answer = await console.submit(
        "/webhooks",
        url=f" {world.receiver.url} ",
        description="the newsroom's",
        events__mode="some",
        events=["shared_report.created", "shared_report.revoked"],
    )
    assert answer.status == 201, text_of(answer)
    [webhook] = (await alice.get("/api/webhooks")).json
    assert webhook["events"] == ["shared_report.created", "shared_report.revoked"]
    assert webhook["description"] == "the newsroom's"
    assert b"whsec_" in answer.body
    assert b"whsec_" not in (await console.get(f"/webhooks/{webhook['id']}")).body
    assert "the newsroom's active" in text_of(await console.get("/webhooks"))


@pytest.mark.parametrize(
    ("changes", "name", "message"),
    [
        ({"url": ""}, "url", "It is empty."),
        ({"url": "http://example.com/"}, "url", "https"),
        ({"url": "https://user:x@example.com/"}, "url", ""),
        ({"description": "x" * 201}, "description", "more than 200 characters"),
        ({"events__mode": "some"}, "events", "Choose at least one type"),
    ],
)
@pytest.mark.engine("sqlite")
async def test_errors_of_a_webhook_stand_beside_their_fields(
    service: Service, alice: Caller, changes: dict[str, str], name: str, message: str
) -> None:
    console = await signed_in(service, alice)
    typed = {"url": "https://hooks.example/", "description": "kept"} | changes
    answer = await console.submit("/webhooks", **typed)
    assert answer.status == 422
    beside = answer.body.decode().partition(f'id="{name}-wrong">')[2].partition("</p>")[0]
    assert beside
    assert message in beside
    assert ("description", typed["description"]) in fill(answer, "/webhooks", {}).fields
    assert (await alice.get("/api/webhooks")).json == []


async def test_deliveries_are_shown_and_tried_again(world: World) -> None:
    console, alice = world.console, world.alice
    webhook = await hook(alice, world.receiver.url)
    path = f"/webhooks/{webhook['id']}"
    assert "Nothing was delivered yet." in text_of(await console.get(path))
    answer = await console.submit(path, to=f"{path}/test")
    assert answer.headers["Location"].endswith("?done=tested")
    await settled(alice, webhook)
    page = text_of(await console.get(path))
    assert "webhook.test delivered" in page
    assert "Answer 200" in page
    world.receiver.statuses["/"] = 503
    [delivery] = await deliveries(alice, webhook)
    answer = await console.submit(path, to=f"{path}/deliveries/{delivery['id']}/retry")
    assert answer.headers["Location"].endswith("?done=retried")
    await settled(alice, webhook, lambda rows: rows[0]["status_code"] == 503)
    page = text_of(await console.get(f"{path}?status=pending"))
    assert "webhook.test pending" in page
    assert "Next try" in page
    assert "No delivery matches." in text_of(await console.get(f"{path}?status=delivered"))


async def test_webhook_is_changed_switched_rotated_and_deleted(world: World) -> None:
    console, alice = world.console, world.alice
    webhook = await hook(alice, world.receiver.url, events=["video.deleted"])
    path = f"/webhooks/{webhook['id']}"
    assert (await console.submit(f"{path}/change", description="new")).status == 303
    changed = (await alice.get(f"/api{path}")).json
    assert (changed["description"], changed["events"]) == ("new", ["video.deleted"])
    assert changed["url"] == webhook["url"]
    wrong = await console.submit(f"{path}/change", url="ftp://x")
    assert (wrong.status, b'id="url-wrong"' in wrong.body) == (422, True)
    await console.submit(f"{path}/change", events__mode="all")
    assert (await alice.get(f"/api{path}")).json["events"] is None
    await console.submit(path, to=f"{path}/switch")
    assert (await alice.get(f"/api{path}")).json["is_active"] == 0
    page = await console.get(path)
    assert b"Send a test" not in page.body
    token = dict(fill(page, f"{path}/switch", {}).fields)["csrf"]
    assert (await console.send(f"{path}/test", {"csrf": token})).status == 409
    await console.submit(path, to=f"{path}/switch")
    assert (await alice.get(f"/api{path}")).json["is_active"] == 1
    rotated = await console.submit(f"{path}/rotate")
    assert rotated.status == 200
    assert b"whsec_" in rotated.body
    assert webhook["secret"].encode() not in rotated.body
    assert (await console.submit(f"{path}/delete")).headers["Location"].endswith("done=deleted")
    assert (await alice.get("/api/webhooks")).json == []
