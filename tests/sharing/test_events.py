"""Events: each type is written once, with what it tells of, for the users who have asked."""

import dataclasses
from typing import Any

import pytest
from support.access import PASSWORD, unlock
from support.database import DatabaseSetting, break_updates, execute_many, fetch
from support.events import enable, events_of, tell_views, types_of, without_hash
from support.harness import START, Caller, Service, Start, export, segment
from support.links import ROUTES, change, rows_left
from support.metrics import scrape
from support.statements import Statements

from service.config import Config
from service.domain.events import EVENT_TYPES
from service.web.app_keys import CONFIG, REPOSITORIES, SWEEPER, VIEWS

pytestmark = pytest.mark.own_service

LINKS = "/api/shared-reports"
IN_BACKGROUND = {
    *("record views", "record key use", "find the next expiry", "look for views to tell of"),
    *("look for unused analyses", "purge events", "delete old idempotency keys"),
}
"""Statements that a background task may make at any moment."""
BOT = {"User-Agent": "Twitterbot/1.0"}


@pytest.fixture
async def alice(service: Service) -> Caller:
    await service.alice.put_video()
    await enable(service.alice)
    return service.alice


async def view(service: Service, link: Any, times: int = 1, **kwargs: Any) -> None:
    for _ in range(times):
        path = ROUTES[0].format(link["share_hash"])
        assert (await service.public.get(path, **kwargs)).status == 200


async def test_events_show_the_link_as_its_owner_sees_it(service: Service, alice: Caller) -> None:
    created = await alice.share(label="press", not_before="2025-01-15T10:30:00", modules=["a"])
    changed = await change(service, created, max_views=2, password=PASSWORD, is_active=False)
    rotated = (await alice.post(f"{LINKS}/{created['id']}/rotate")).json
    assert (await alice.delete(f"{LINKS}/{created['id']}")).status == 200
    events = await events_of(alice)
    assert [(event["type"], event["data"]) for event in events] == [
        ("shared_report.created", without_hash(created)),
        ("shared_report.changed", without_hash(changed)),
        ("shared_report.rotated", without_hash(rotated)),
        ("shared_report.revoked", without_hash(rotated)),
    ]
    assert {event["created_at"] for event in events} == {START}
    assert [int(event["id"]) for event in events] == sorted(int(event["id"]) for event in events)


async def test_change_event_needs_a_changed_setting(service: Service, alice: Caller) -> None:
    link = await alice.share(label="x", max_views=2)
    for fields in ({}, {"label": "x"}, {"max_views": 2}, {"is_active": True}):
        await change(service, link, **fields)
    assert (await alice.patch(f"{LINKS}/{link['id']}", {"max_views": 0})).status == 422
    assert await types_of(alice) == ["created"]


async def test_unlock_events_count_each_unlock(service: Service, alice: Caller) -> None:
    link = await alice.share(max_views=2)
    for status in (200, 200, 410):
        assert (await unlock(service, link["share_hash"])).status == status
    assert sorted(await types_of(alice)) == [
        "created",
        "exhausted",
        "unlocked",
        "unlocked",
        "viewed",
    ]
    events = {event["type"]: event["data"] for event in await events_of(alice)}
    assert events["shared_report.unlocked"]["new_unlocks"] == 1
    assert events["shared_report.unlocked"]["view_count"] == 2
    assert events["shared_report.viewed"]["new_views"] == 1
    assert events["shared_report.exhausted"]["status"] == "exhausted"
    assert "new_views" not in events["shared_report.exhausted"]


async def test_password_that_is_wrong_is_no_event(service: Service, alice: Caller) -> None:
    link = await alice.share(password=PASSWORD)
    assert (await unlock(service, link["share_hash"], "wrong")).status == 401
    assert await types_of(alice) == ["created"]


async def test_exhausted_event_follows_each_way_to_the_limit(
    service: Service, alice: Caller
) -> None:
    link = await alice.share()
    await view(service, link, 3)
    await change(service, link, max_views=3)  # with the views in memory
    assert (await events_of(alice))[-1]["data"]["view_count"] == 3
    await change(service, link, max_views=2)  # is exhausted already
    await change(service, link, max_views=4)
    assert (await unlock(service, link["share_hash"])).status == 200
    assert (await types_of(alice)).count("exhausted") == 2


async def test_view_events_are_one_a_minute_with_all_views(service: Service, alice: Caller) -> None:
    link, other = await alice.share(), await alice.share()
    told = []
    for people, bots, seconds in ((3, 1, 30), (2, 0, 29), (0, 2, 2), (0, 0, 61), (1, 0, 61)):
        await view(service, link, people)
        await view(service, link, bots, headers=BOT)
        await tell_views(service)
        await service.advance(seconds)
        await tell_views(service)
        events = await events_of(alice, type="shared_report.viewed")
        told.append([(each["data"]["new_views"], each["data"]["new_bot_views"]) for each in events])
    assert told == [
        [(3, 1)],
        [(3, 1)],
        [(3, 1), (2, 2)],
        [(3, 1), (2, 2)],
        [(3, 1), (2, 2), (1, 0)],
    ]
    events = await events_of(alice, type="shared_report.viewed")
    assert [event["created_at"][14:] for event in events] == ["00:00", "01:01", "02:02"]
    assert [event["data"]["view_count"] for event in events] == [3, 5, 6]
    assert {event["data"]["id"] for event in events} == {link["id"]} != {other["id"]}
    assert rows_left(service.app[CONFIG].database, "event_views") == 0


async def test_view_events_go_on_when_the_clock_is_put_back(
    service: Service, alice: Caller
) -> None:
    link = await alice.share()
    for _ in range(2):
        await view(service, link)
        await tell_views(service)
        await service.advance(-86_400)
    await tell_views(service)
    events = await events_of(alice, type="shared_report.viewed")
    assert [event["data"]["new_views"] for event in events] == [1, 1]


async def test_view_events_survive_a_restart(
    service: Service, alice: Caller, start: Start, config: Config
) -> None:
    link = await alice.share()
    for _ in range(2):
        await view(service, link, 2)
        await service.app[VIEWS].write()
    await service.client.close()
    again = await start(config)
    again.clock.advance(61)
    await tell_views(again)
    caller = Caller(again.client, alice.key)
    events = await events_of(caller, type="shared_report.viewed")
    assert [event["data"]["new_views"] for event in events] == [2, 2]


async def test_view_events_end_with_the_link_or_the_subscription(
    service: Service, alice: Caller
) -> None:
    gone, kept = await alice.share(), await alice.share()
    for _ in range(2):
        await view(service, gone)
        await view(service, kept)
        await tell_views(service)
    await alice.delete(f"{LINKS}/{gone['id']}")
    await alice.put("/api/events", {"enabled": False})
    await service.advance(61)
    await tell_views(service)
    assert (await types_of(alice)).count("viewed") == 2
    [revoked] = await events_of(alice, type="shared_report.revoked")
    assert revoked["data"]["view_count"] == 2
    assert rows_left(service.app[CONFIG].database, "event_views") == 0


async def test_expired_event_is_written_once_an_expiry(service: Service, alice: Caller) -> None:
    link = await alice.share(expires_at="2025-01-15T10:00:10")
    for seconds in (9, 1, 60):
        await service.advance(seconds)
        await service.sweep()
        await service.sweep()
    assert await types_of(alice) == ["created", "expired"]
    [expired] = await events_of(alice, type="shared_report.expired")
    assert (expired["data"]["status"], expired["data"]["is_active"]) == ("expired", 0)
    await change(service, link, expires_at="2025-01-15T10:02:00")
    await service.advance(60)
    await service.sweep()
    assert await types_of(alice) == ["created", "expired", "changed", "expired"]


@pytest.mark.parametrize("path", ["/api/videos/job-1/shared-reports", "/api/videos/job-1"])
async def test_bulk_revocation_tells_of_each_link_once(
    service: Service, alice: Caller, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of those whose rows are deleted after the response, by another batch."""
    monkeypatch.setattr("service.tasks.sweeper._BATCH_MIN", 2)
    links = [await alice.share(label=f"{n}") for n in range(5)]
    monkeypatch.setattr(service.app[SWEEPER].task, "wake", lambda: None)
    assert (await alice.delete(path)).status == 200
    later = await alice.put_video("job-2")
    revoked = await events_of(alice, type="shared_report.revoked")
    assert len(revoked) == 2
    await service.sweep()
    revoked = await events_of(alice, type="shared_report.revoked")
    shown = sorted((event["data"] for event in revoked), key=lambda data: int(data["id"]))
    assert shown == [without_hash(link) for link in links]
    assert later["id"] not in {link["video_id"] for link in links}


async def test_video_events_show_the_video_as_its_owner_sees_it(alice: Caller) -> None:
    fields: dict[str, Any] = {
        "video_name": 'Ü"\\\n',
        "duration": 0.1 + 0.2,
        "processing_time": 1e-7,
        "file_size": 2**53 + 1,
        "storage_path": "/x",
        "project_id": "p",
    }
    await alice.put_video(segments=[segment(0, 1)])
    large = [segment(n, n + 1, content="x" * 8_000) for n in range(60)]
    replaced = await alice.put_video(segments=large, **fields)
    assert (await alice.delete("/api/videos/job-1")).status == 200
    await alice.put_video()  # another one of that name: it is new
    events = await events_of(alice)
    assert [event["type"] for event in events] == ["video.replaced"] * 2 + ["video.deleted"]
    assert [event["data"] for event in events[1:]] == [replaced, replaced]
    assert replaced["duration"] == 0.1 + 0.2


async def test_purged_link_is_not_revoked(start: Start, config: Config) -> None:
    service = await start(dataclasses.replace(config, retention_days=2))
    await service.alice.put_video()
    await enable(service.alice)
    links = [await service.alice.share(expires_at="2025-01-15T11:00:00") for _ in range(3)]
    await service.advance(3600)
    await service.sweep()
    await service.advance(2 * 86_400 - 1)
    assert (await service.alice.delete(f"{LINKS}/{links[0]['id']}")).status == 200
    await service.advance(2)
    await service.sweep()
    assert rows_left(service.app[CONFIG].database) == 0
    assert await types_of(service.alice) == ["created"] * 3 + ["expired"] * 3 + ["revoked"]


async def test_events_are_of_their_user_only(service: Service, alice: Caller) -> None:
    bob = service.bob
    await enable(bob)
    await bob.put_video()
    await bob.share()
    await alice.share()
    for caller in (alice, bob):
        [event] = await events_of(caller)
        assert event["data"]["user_id"] == caller.user_id


async def test_events_are_not_written_for_users_who_have_not_asked(
    service: Service, alice: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same calls make the same statements for both: triggers do the work."""
    bob, statements = service.bob, Statements(monkeypatch)

    async def live(caller: Caller) -> list[str]:
        await caller.put_video()
        statements.started.clear()
        link = await caller.share(max_views=1)
        await caller.patch(f"{LINKS}/{link['id']}", {"label": "x"})
        await unlock(service, link["share_hash"])
        await caller.delete(f"{LINKS}/{link['id']}")
        await caller.put_video()
        await caller.delete("/api/videos/job-1")
        return sorted(set(statements.started) - IN_BACKGROUND)

    await live(bob)
    assert await live(bob) == await live(alice)
    assert await events_of(bob) == []
    assert rows_left(service.app[CONFIG].database, "event_views") == 1
    assert len(await events_of(alice)) == 9


async def test_events_never_contain_a_secret(service: Service, alice: Caller) -> None:
    """Not the share hash, old or new, nor a digest of the password; whatever has happened."""
    link = await alice.share(max_views=3, password=PASSWORD, expires_at="2025-01-15T11:00:00")
    await unlock(service, link["share_hash"], PASSWORD)
    rotated = (await alice.post(f"{LINKS}/{link['id']}/rotate")).json
    await change(service, link, max_views=1)
    await service.advance(3600)
    await service.sweep()
    await alice.put_video()
    await alice.delete("/api/videos/job-1")
    await service.sweep()
    assert {event["type"] for event in await events_of(alice)} == set(EVENT_TYPES)
    database = service.app[CONFIG].database
    rows = str([fetch(database, f"SELECT * FROM {table}") for table in ("events", "event_views")])
    for secret in (link["share_hash"], rotated["share_hash"], "scrypt", "share_hash"):
        assert secret not in rows
    assert alice.user_id in rows
    answer = await alice.get("/api/events", params={"limit": "200"})
    assert b"share_hash" not in answer.body


async def test_event_fails_with_what_it_tells_of(service: Service, alice: Caller) -> None:
    """They are one transaction: neither is there without the other."""
    link = await alice.share()
    path = f"{LINKS}/{link['id']}"
    listed = (await alice.get(LINKS)).json
    break_updates(service.app[CONFIG].database, "events", "INSERT")
    assert (await alice.post(LINKS, {"video_id": "job-1"})).status == 500
    assert (await alice.patch(path, {"label": "x"})).status == 500
    assert (await alice.delete(path)).status == 500
    assert (await service.bob.put("/api/videos/job-1", export())).status == 201
    await service.bob.share()  # pays nothing
    assert (await alice.get(LINKS)).json == listed
    assert await types_of(alice) == ["created"]


OLD, YOUNG = "2025-01-12T09:59:59", "2025-01-12T10:00:00"


def insert_events(database: DatabaseSetting, user_id: str, *times: str) -> None:
    sql = "INSERT INTO events (user_id, type, created_at) VALUES (?, 'x', ?)"
    execute_many(database, sql, [(user_id, moment) for moment in times])


async def test_purge_deletes_old_events_up_to_its_limit(service: Service) -> None:
    database, events = service.app[CONFIG].database, service.app[REPOSITORIES].events
    insert_events(database, "u", *[OLD, YOUNG, START, OLD] * 3)
    assert [await events.purge(3, 4) for _ in range(3)] == [4, 2, 0]
    assert rows_left(database, "events") == 6
    assert await events.last_id() == 12


async def test_sweeper_purges_events_after_their_days(start: Start, config: Config) -> None:
    service = await start(dataclasses.replace(config, event_days=3))
    database = service.app[CONFIG].database
    insert_events(database, "u", *[OLD] * 300, YOUNG)
    await service.sweep()
    await service.advance(1)
    await service.sweep()
    assert rows_left(database, "events") == 0
    metrics = await scrape(service.public)
    assert metrics["shared_reports_events_total"] == 301
    assert metrics["shared_reports_sweeper_purged_events_total"] == 301
