"""Two users can never touch, see or even probe each other's things, on any route."""

from typing import Any

import pytest
from support.database import DatabaseSetting, fetch
from support.harness import Caller, Response, Service, export, segment
from support.statements import Statements

from service.app import ROUTES

# Every owned route, with the call that tries it on Alice's things. A new route without a row
# here fails the test below.
ATTACKS: dict[tuple[str, str], object] = {
    ("POST", "/api/shared-reports"): {"video_id": "{job_id}"},
    ("GET", "/api/shared-reports"): None,
    ("PATCH", "/api/shared-reports/{report_id}"): {"label": "Bob's", "is_active": False},
    ("POST", "/api/shared-reports/{report_id}/rotate"): None,
    ("DELETE", "/api/shared-reports/{report_id}"): None,
    ("GET", "/api/shared-reports/{report_id}/views"): None,
    ("GET", "/api/videos/{job_id}/views"): None,
    ("GET", "/api/usage"): None,
    ("GET", "/api/videos/{job_id}/shared-reports"): None,
    ("DELETE", "/api/videos/{job_id}/shared-reports"): None,
    ("PUT", "/api/videos/{job_id}"): export(video_name="Bob's"),
    ("GET", "/api/videos"): None,
    ("GET", "/api/videos/{job_id}"): None,
    ("GET", "/api/videos/{job_id}/segments"): None,
    ("DELETE", "/api/videos/{job_id}"): None,
    ("GET", "/api/events"): None,
    ("PUT", "/api/events"): {"enabled": False},
    ("GET", "/api/keys"): None,
    ("POST", "/api/keys"): {"name": "Bob's"},
    ("PATCH", "/api/keys/{key_id}"): {"is_active": False},
    ("DELETE", "/api/keys/{key_id}"): None,
    ("POST", "/api/webhooks"): {"url": "https://bob.example/"},
    ("GET", "/api/webhooks"): None,
    ("GET", "/api/webhooks/{webhook_id}"): None,
    ("PATCH", "/api/webhooks/{webhook_id}"): {"is_active": False},
    ("DELETE", "/api/webhooks/{webhook_id}"): None,
    ("POST", "/api/webhooks/{webhook_id}/rotate"): None,
    ("POST", "/api/webhooks/{webhook_id}/test"): None,
    ("GET", "/api/webhooks/{webhook_id}/deliveries"): None,
    ("POST", "/api/webhooks/{webhook_id}/deliveries/{delivery_id}/retry"): None,
}
OWN = {  # these name no object: they answer with the caller's own
    ("GET", "/api/shared-reports"),
    ("GET", "/api/videos"),
    ("GET", "/api/events"),
    ("PUT", "/api/events"),
    ("GET", "/api/keys"),
    ("POST", "/api/keys"),
    ("GET", "/api/usage"),
    ("GET", "/api/webhooks"),
    ("POST", "/api/webhooks"),
}


BACKGROUND = {
    "look for due webhooks",
    "look for views to tell of",
    "purge deliveries",
    "purge events",
}
"""Statements of background tasks that have nothing to do."""

# Every public route that names an object: by its link, and by nothing else.
BY_LINK = {
    ("GET", "/api/shared-reports/{share_hash}"),
    ("POST", "/api/shared-reports/{share_hash}/unlock"),
    ("GET", "/api/shared-reports/{share_hash}/segments"),
    ("GET", "/r/{share_hash}"),
    ("POST", "/r/{share_hash}"),
    ("GET", "/r/{share_hash}/analysis.json"),
    ("GET", "/r/{share_hash}/analysis.csv"),
    ("GET", "/r/{share_hash}/transcript.vtt"),
    ("GET", "/r/{share_hash}/transcript.srt"),
    ("GET", "/r/{share_hash}/qr.svg"),
}


def test_isolation_cases_cover_every_route() -> None:
    assert {(route.method, route.path) for route in ROUTES if route.owned} == set(ATTACKS)
    named = {(route.method, route.path) for route in ROUTES if "{" in route.path}
    assert named - set(ATTACKS) == BY_LINK


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all statements that are made from here on."""
    return Statements(monkeypatch).started


def of_requests(statements: list[str]) -> list[str]:
    """The statements that requests have made."""
    return [name for name in statements if name not in BACKGROUND]


def told(answer: Response) -> object:
    """All that an answer tells, but for what differs from each to the next."""
    headers = {name: value for name, value in answer.headers.items() if name != "X-Request-ID"}
    return answer.status, headers | {"Date": ""}, answer.body


async def state_of(alice: Caller) -> list[bytes]:
    paths = ("/api/videos", "/api/videos/job-1/segments", "/api/videos/job-1/shared-reports")
    hooks = (await alice.get("/api/webhooks")).json
    known = [f"{hook['id']} {hook['url']} {hook['is_active']}".encode() for hook in hooks]
    return known + [(await alice.get(path)).body for path in paths]


async def webhook_of(alice: Caller, database: DatabaseSetting) -> tuple[str, str]:
    """A webhook with a delivery; it is off, so the dispatcher makes no statements meanwhile."""
    webhook_id = (await alice.post("/api/webhooks", {"url": "https://alice.invalid/"})).json["id"]
    await alice.patch(f"/api/webhooks/{webhook_id}", {"is_active": False})
    [(delivery_id,)] = fetch(
        database,
        "INSERT INTO webhook_deliveries (webhook_id, type, created_at) VALUES (?, ?, ?)"
        " RETURNING id",
        int(webhook_id),
        "webhook.test",
        "2025-01-15T10:00:00",
    )
    return webhook_id, str(delivery_id)


@pytest.mark.parametrize(("method", "path"), ATTACKS)
async def test_isolation_hides_objects_of_other_users(
    service: Service, database: DatabaseSetting, statements: list[str], method: str, path: str
) -> None:
    """To the byte, and by the same statements, so that it takes as long."""
    alice, bob = service.alice, service.bob
    await alice.put_video(segments=[segment(0, 1)])
    video = (await alice.get("/api/videos/job-1")).json
    report = await alice.share()
    key_id = (await alice.get("/api/keys")).json[0]["id"]
    webhook_id, delivery_id = await webhook_of(alice, database)
    before = await state_of(alice)

    async def attack(job_id: str, report_id: str, **ids: str) -> tuple[Response, list[str]]:
        body = ATTACKS[method, path]
        if body == {"video_id": "{job_id}"}:
            body = {"video_id": job_id}
        url = path.format(job_id=job_id, report_id=report_id, **ids)
        statements.clear()
        answer = await bob.call(method, url, body)
        return answer, of_requests(statements)

    ids = {"key_id": key_id, "webhook_id": webhook_id, "delivery_id": delivery_id}
    for job_id, report_id in (("job-1", report["id"]), (video["id"], report["share_hash"])):
        theirs, made = await attack(job_id, report_id, **ids)
        if (method, path) in OWN or method == "PUT":
            assert theirs.status in {200, 201}
            assert alice.user_id.encode() not in theirs.body
        else:
            nothing, made_for_nothing = await attack(
                "no-such", "999999", **dict.fromkeys(ids, "999999")
            )
            assert told(theirs) == told(nothing)
            assert made == made_for_nothing
            assert theirs.status == 404
    assert await state_of(alice) == before
    assert (await service.public.get(f"/api/shared-reports/{report['share_hash']}")).status == 200


@pytest.mark.parametrize(("method", "path"), ATTACKS)
async def test_owned_route_checks_the_key_before_anything_else(
    public: Caller, method: str, path: str
) -> None:
    url = path.format(job_id="x", report_id="1", key_id="1", webhook_id="1", delivery_id="1")
    assert (await public.call(method, url, b"{not json")).status == 401


@pytest.mark.parametrize("terms", [{}, {"max_views": 5}, {"password": "x", "max_views": 5}])
@pytest.mark.parametrize(("method", "path"), sorted(BY_LINK))
async def test_link_opens_by_its_share_hash_only(
    service: Service, statements: list[str], method: str, path: str, terms: dict[str, Any]
) -> None:
    alice = service.alice
    video = await alice.put_video(segments=[segment(0, 1)])
    report, revoked = await alice.share(**terms), await alice.share(**terms)
    key = (await alice.get("/api/keys")).json[0]
    await alice.delete(f"/api/shared-reports/{revoked['id']}")

    async def ask(name: str) -> tuple[object, list[str]]:
        statements.clear()
        body = b"{}" if method == "POST" else None
        answer = await service.public.call(method, path.format(share_hash=name), body)
        return told(answer), of_requests(statements)

    nothing = await ask("A" * 16)
    share_hash = report["share_hash"]
    for name in (
        *("job-1", video["id"], report["id"], key["id"], alice.user_id, revoked["share_hash"]),
        *(share_hash[:-1], share_hash + "A", share_hash.swapcase(), "%25", "*", "_" * 16),
    ):
        assert await ask(name) == nothing, name
    assert await ask(share_hash) != nothing
