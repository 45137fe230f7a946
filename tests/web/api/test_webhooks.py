"""Webhooks over the API: what is created, shown, changed and refused."""

import re
from typing import Any

import pytest
from support.harness import Caller, Service, is_problem
from support.webhooks import deliveries, hook

URL = "https://hooks.invalid/x"
FIELDS = {
    *("id", "url", "events", "description", "is_active", "created_at", "failing_since"),
    "disabled_reason",
}


@pytest.mark.own_service
async def test_webhook_is_shown_with_its_secret_once(alice: Caller) -> None:
    created = await alice.post(
        "/api/webhooks",
        {"url": URL, "events": ["video.deleted", "video.deleted"], "description": "e\u0301"},
    )
    assert created.status == 201
    secret = created.json.pop("secret")
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret)
    assert created.json == {
        "id": "1",
        "url": URL,
        "events": ["video.deleted"],
        "description": "\u00e9",
        "is_active": 1,
        "created_at": "2025-01-15T10:00:00",
        "failing_since": None,
        "disabled_reason": None,
    }
    assert (await alice.get("/api/webhooks")).json == [created.json]
    assert (await alice.get("/api/webhooks/1")).json == created.json


async def test_webhook_changes_by_its_fields_only(alice: Caller) -> None:
    webhook = await hook(alice, URL, events=["video.deleted"], description="x")
    path = f"/api/webhooks/{webhook['id']}"
    del webhook["secret"]
    assert (await alice.patch(path, {})).json == webhook
    changes: tuple[dict[str, Any], ...] = (
        {"url": "https://other.invalid/"},
        {"events": None},
        {"description": None},
        {"is_active": False},
        {"events": ["shared_report.viewed"], "is_active": True},
    )
    for change in changes:
        changed = (await alice.patch(path, change)).json
        webhook |= change | {"is_active": int(change.get("is_active", webhook["is_active"]))}
        assert changed == webhook
    assert (await alice.get(path)).json == webhook


async def test_webhooks_of_a_user_are_bounded(service: Service) -> None:
    alice = service.alice
    made = [await hook(alice, URL) for _ in range(20)]
    refused = await alice.post("/api/webhooks", {"url": URL})
    assert is_problem(refused, 409, "conflict")
    assert "20 webhooks" in refused.json["detail"]
    await hook(service.bob, URL)
    listed = (await alice.get("/api/webhooks")).json
    assert [each["id"] for each in listed] == [each["id"] for each in reversed(made)]
    assert (await alice.delete(f"/api/webhooks/{made[3]['id']}")).json == {"ok": True}
    await hook(alice, URL)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "url"),
        ({"url": ""}, "url"),
        ({"url": 1}, "url"),
        ({"url": "http://example.com/"}, "https"),
        ({"url": "https://user:password@example.com/"}, "credentials"),
        ({"url": "https://127.0.0.1/"}, "127.0.0.1"),
        ({"url": "https://2130706433/"}, "url"),
        ({"url": "https://[::ffff:127.0.0.1]/"}, "::ffff:127.0.0.1"),
        ({"url": "https://localhost/"}, "url"),
        ({"url": f"https://example.com/{'x' * 2_000}"}, "url"),
        ({"url": URL, "events": []}, "events"),
        ({"url": URL, "events": ["shared_report.seen"]}, "events"),
        ({"url": URL, "events": "video.deleted"}, "events"),
        ({"url": URL, "description": "x" * 201}, "description"),
        ({"url": URL, "secret": "whsec_x"}, "secret"),
        ({"url": URL, "is_active": False}, "is_active"),
    ],
)
async def test_webhook_that_is_not_valid_is_refused(
    alice: Caller, body: dict[str, object], named: str
) -> None:
    refused = await alice.post("/api/webhooks", body)
    assert is_problem(refused, 422, "invalid-request")
    assert named in refused.json["detail"]
    webhook = await hook(alice, URL)
    if body and "is_active" not in body and "secret" not in body:
        changed = await alice.patch(f"/api/webhooks/{webhook['id']}", body)
        assert is_problem(changed, 422, "invalid-request")
    assert [each["url"] for each in (await alice.get("/api/webhooks")).json] == [URL]


async def test_deliveries_are_listed_in_pages_and_by_status(service: Service) -> None:
    alice = service.alice
    webhook = await hook(alice, URL)
    path = f"/api/webhooks/{webhook['id']}"
    for _ in range(5):
        await alice.post(f"{path}/test")
    rows = await deliveries(alice, webhook)
    assert [row["type"] for row in rows] == ["webhook.test"] * 5
    first = await alice.get(f"{path}/deliveries?limit=2&status=pending")
    assert [row["id"] for row in first.json] == [rows[4]["id"], rows[3]["id"]]
    following = re.fullmatch(r"<http://[^/]+(.*)>; rel=\"next\"", first.headers["Link"])
    assert following is not None
    second = await alice.get(following[1])
    assert [row["id"] for row in second.json] == [rows[2]["id"], rows[1]["id"]]
    assert (await alice.get(f"{path}/deliveries?status=delivered")).json == []
    for query in ("status=lost", "limit=0", "cursor=x", "state=failed"):
        assert (await alice.get(f"{path}/deliveries?{query}")).status == 422


async def test_webhook_makes_events_written_for_its_user_only_while_it_is_on(
    service: Service,
) -> None:
    alice = service.alice
    await alice.put_video()
    webhook = await hook(alice, URL)
    path = f"/api/webhooks/{webhook['id']}"
    await alice.share()
    await alice.patch(path, {"is_active": False})
    await alice.share()
    await alice.patch(path, {"is_active": True})
    await alice.share()
    made = await deliveries(alice, webhook)
    assert len(made) == 2
    assert int(made[1]["event_id"]) == int(made[0]["event_id"]) + 1  # none was written meanwhile


async def test_unknown_webhook_is_not_found(alice: Caller) -> None:
    webhook = await hook(alice, URL)
    for webhook_id in ("0", "999", "x", "01", "9" * 30):
        path = f"/api/webhooks/{webhook_id}"
        for method, rest in (
            *(("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/test")),
            *(("GET", "/deliveries"), ("POST", "/deliveries/1/retry")),
        ):
            answer = await alice.call(method, path + rest, {} if method == "PATCH" else None)
            assert is_problem(answer, 404, "not-found")
    retry = await alice.post(f"/api/webhooks/{webhook['id']}/deliveries/999/retry")
    assert is_problem(retry, 404, "not-found")
    assert retry.json["detail"] == "No such delivery."
