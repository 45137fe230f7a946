"""The list of events: positions that may be kept, filters, bounds; and the switch."""

from typing import Any

import pytest
from support.database import execute_many, fetch
from support.events import EVENTS, enable, events_of
from support.harness import START, Caller, Service, is_problem

from service.web.app_keys import CONFIG

pytestmark = pytest.mark.own_service

MODULES = '["' + '","'.join(["m" * 118] * 200) + '"]'


def insert(service: Service, *types: str, user_id: str = "") -> None:
    """Add events of Alice, or of another user, without what they tell of."""
    execute_many(
        service.app[CONFIG].database,
        "INSERT INTO events (user_id, type, created_at, link_id, video_id, link_created_at,"
        " is_active, has_password, view_count, bot_view_count, modules)"
        " VALUES (?, ?, ?, 7, 8, ?, ?, ?, 0, 0, ?)",
        [
            (
                *(user_id or service.alice.user_id, f"shared_report.{name}", START, START),
                *(True, False, MODULES if name == "changed" else None),
            )
            for name in types
        ],
    )


async def page(caller: Caller, **query: str) -> tuple[list[str], str, bool]:
    """The ids of a page, its ``next`` and ``has_more``."""
    answer = await caller.get(EVENTS, params=query)
    assert answer.status == 200, answer.body
    body = answer.json
    assert body.keys() == {"events", "next", "has_more", "enabled"}
    link = answer.headers.get("Link", "")
    assert (f"after={body['next']}" in link) == body["has_more"] == ('rel="next"' in link)
    return [event["id"] for event in body["events"]], body["next"], body["has_more"]


async def test_list_of_events_goes_on_from_each_position(service: Service) -> None:
    alice = service.alice
    assert await page(alice) == ([], "0", False)
    insert(service, *["created"] * 3)
    insert(service, "created", user_id=service.bob.user_id)
    insert(service, *["created"] * 2)
    assert await page(alice) == (["1", "2", "3", "5", "6"], "6", False)
    assert await page(alice, limit="2") == (["1", "2"], "2", True)
    assert await page(alice, limit="2", after="2") == (["3", "5"], "5", True)
    assert await page(alice, limit="2", after="5") == (["6"], "6", False)
    assert await page(alice, after="6") == ([], "6", False)
    assert await page(alice, after="999") == ([], "999", False)
    assert await page(service.bob) == (["4"], "4", False)


async def test_position_outlives_the_events_before_it(service: Service) -> None:
    alice, database = service.alice, service.app[CONFIG].database
    insert(service, *["created"] * 4)
    fetch(database, "DELETE FROM events WHERE id <= 3")
    assert await page(alice, after="1") == (["4"], "4", False)
    fetch(database, "DELETE FROM events")
    assert await page(alice, after="4") == ([], "4", False)
    insert(service, "created")
    assert await page(alice, after="4") == (["5"], "5", False)  # no id is given twice


async def test_type_filter_looks_at_a_bounded_number_of_events(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.repositories.event_pages._SCAN_ROWS", 4)
    insert(service, "created", "viewed", "viewed", "created", "viewed", "created", "created")
    insert(service, *["created"] * 4, "viewed", user_id="other")
    insert(service, "created", "viewed")
    alice, wanted = service.alice, {"type": "shared_report.viewed"}
    assert await page(alice, **wanted) == (["2", "3"], "4", True)
    assert await page(alice, **wanted, limit="1") == (["2"], "2", True)
    assert await page(alice, **wanted, after="4") == (["5"], "13", True)
    assert await page(alice, **wanted, after="5") == (["14"], "14", True)
    assert await page(alice, **wanted, after="6") == (["14"], "14", False)
    assert await page(alice, **wanted, after="14") == ([], "14", False)
    assert await page(alice, type="video.deleted", after="13") == ([], "14", False)


async def test_page_of_the_longest_events_is_whole(service: Service) -> None:
    insert(service, *["changed"] * 201)
    answer = await service.alice.get(EVENTS, params={"limit": "200"})
    assert len(answer.json["events"]) == 200
    assert {len(event["data"]["modules"]) for event in answer.json["events"]} == {200}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("after=-1", "`after`"),
        ("after=", "`after`"),
        ("after=1.5", "`after`"),
        ("after=%D9%A1", "`after`"),
        (f"after={10**18}", "`after`"),
        ("type=", "`type` is one of shared_report.created"),
        ("type=viewed", "`type`"),
        ("limit=0", "`limit`"),
        ("limit=201", "`limit`"),
        ("cursor=x", "`cursor`"),
        ("types=viewed", "`types`"),
    ],
)
async def test_list_of_events_names_what_is_wrong(alice: Caller, query: str, said: str) -> None:
    answer = await alice.get(f"{EVENTS}?{query}")
    assert is_problem(answer, 422, "invalid-request")
    assert said in answer.json["detail"]


async def test_events_are_off_until_they_are_switched_on(service: Service) -> None:
    alice = service.alice
    await alice.put_video()

    async def is_enabled() -> Any:
        return (await alice.get(EVENTS)).json["enabled"]

    await alice.share()
    assert await is_enabled() is False
    for _ in range(2):
        await enable(alice)
    await alice.share()
    assert await is_enabled() is True
    answer = await alice.put(EVENTS, {"enabled": False})
    assert (answer.status, answer.json) == (200, {"enabled": False})
    await alice.share()
    assert await is_enabled() is False
    assert [event["data"]["id"] for event in await events_of(alice)] == ["2"]


@pytest.mark.parametrize(
    "body", [{}, {"enabled": None}, {"enabled": 1}, {"enabled": "true"}, {"enabled": True, "x": 1}]
)
async def test_switch_of_events_takes_a_truth_only(alice: Caller, body: object) -> None:
    assert is_problem(await alice.put(EVENTS, body), 422, "invalid-request")
    assert (await alice.get(EVENTS)).json["enabled"] is False


async def test_webhooks_of_a_user_write_events_as_well(service: Service) -> None:
    """As the table has it: the setting is one reason, webhooks are another."""
    alice, database = service.alice, service.app[CONFIG].database
    await alice.put_video()
    sql = "INSERT INTO event_subscriptions (user_id, webhooks) VALUES (?, 1)"
    fetch(database, sql, alice.user_id)
    await alice.share()
    for enabled in (True, False):
        await alice.put(EVENTS, {"enabled": enabled})
    await alice.share()
    fetch(database, "UPDATE event_subscriptions SET webhooks = 0")
    await alice.share()
    assert [event["data"]["id"] for event in await events_of(alice)] == ["1", "2"]
