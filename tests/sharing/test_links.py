"""What becomes of a link: one status, the same in every place that tells or goes by it."""

import asyncio
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from support.harness import START, Caller, Service, Start, is_problem, segment
from support.links import (
    AFTER,
    BECOMES,
    BEFORE,
    COMBINATIONS,
    LIST,
    ROUTES,
    change,
    status_of,
    write,
)
from support.metrics import scrape
from support.pages import text

from service.config import Config
from service.web.app_keys import SWEEPER

PUBLIC = {
    "active": (200, None),
    "scheduled": (404, "not-found"),
    "inactive": (404, "not-found"),
    "expired": (410, "expired"),
    "exhausted": (410, "exhausted"),
}


async def test_status_is_one_function_of_row_and_clock(start: Start, config: Config) -> None:
    service = await start(replace(config, lookup_rate_limit=None))
    await service.alice.put_video()
    expected = {}
    for row in COMBINATIONS:
        report = await service.alice.share()
        write(service, report["id"], row)
        expected[report["id"]] = status_of(row)
    listed = (await service.alice.get(LIST)).json
    assert {each["id"]: each["status"] for each in listed} == expected
    for each in listed:
        assert each["is_active"] == (1 if each["status"] in {"active", "scheduled"} else 0)
        code = 200
        if each["max_views"] is None or each["status"] != "active":
            answer = await service.public.get(f"/api/shared-reports/{each['share_hash']}")
            code = answer.status
        assert code == PUBLIC[each["status"]][0], each
    metrics = await scrape(service.public)
    for status, count in Counter(expected.values()).items():
        assert metrics[f'shared_reports_links{{status="{status}"}}'] == count
    await service.sweep()
    assert {each["id"]: each["status"] for each in (await service.alice.get(LIST)).json} == expected


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("status", PUBLIC)
async def test_public_routes_follow_the_status(service: Service, status: str, path: str) -> None:
    await service.alice.put_video()
    report = await service.alice.share()
    if status != "active":
        write(service, report["id"], BECOMES[status])
    answer = await service.public.get(path.format(report["share_hash"]))
    code, problem = PUBLIC[status]
    assert answer.status == code
    if problem is None:
        return
    assert b"Product Demo" not in answer.body
    if path.startswith("/api/"):
        assert is_problem(answer, code, problem)
        assert ("expired_at" in answer.json) == (status == "expired")
    else:
        words = {"expired": "has expired", "exhausted": "is used up"}
        assert words.get(status, "There is no report here") in text(answer)
    if code == 404:  # it looks as if there were none
        unknown = await service.public.get(path.format("A" * 16))
        assert answer.body == unknown.body


async def test_link_starts_to_the_second(service: Service) -> None:
    await service.alice.put_video()
    report = await service.alice.share(not_before="2025-01-15T12:01:00+02:00")
    assert (report["status"], report["is_active"]) == ("scheduled", 1)
    assert report["not_before"] == "2025-01-15T10:01:00"
    for path in ROUTES:
        assert (await service.public.get(path.format(report["share_hash"]))).status == 404
    await service.advance(59.999)
    assert (await service.public.get(ROUTES[0].format(report["share_hash"]))).status == 404
    await service.advance(0.001)
    for path in ROUTES:
        assert (await service.public.get(path.format(report["share_hash"]))).status == 200


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"not_before": "soon"}, "not_before"),
        ({"not_before": AFTER, "expires_at": AFTER}, "not_before"),
        ({"label": "x" * 201}, "label"),
        ({"label": 1}, "label"),
        ({"modules": "scenes"}, "modules"),
        ({"modules": [""]}, "modules"),
        ({"modules": ["x"] * 201}, "modules"),
        ({"status": "active"}, "status"),
        ({"view_count": 0}, "view_count"),
    ],
)
async def test_create_rejects_invalid_settings_by_name(
    alice: Caller, fields: dict[str, object], named: str
) -> None:
    await alice.put_video()
    answer = await alice.post("/api/shared-reports", {"video_id": "job-1"} | fields)
    assert is_problem(answer, 422, "invalid-request")
    assert named in answer.json["detail"]
    assert (await alice.get(LIST)).json == []


@pytest.mark.parametrize(
    "fields",
    [
        {"not_before": BEFORE},  # it has begun to work already
        {"label": "x" * 200},
        {"label": ""},
        {"label": "für die Presse \u2028\"'"},
        {"modules": []},
        {"modules": ["scenes", "none of these"]},
    ],
)
async def test_create_keeps_settings_as_given(alice: Caller, fields: dict[str, Any]) -> None:
    await alice.put_video()
    report = await alice.share(**fields)
    assert report | fields == report
    assert (await alice.get(LIST)).json == [report]


async def test_label_is_in_no_public_response(alice: Caller, public: Caller) -> None:
    await alice.put_video()
    share_hash = (await alice.share(label="canary-label"))["share_hash"]
    for path in ROUTES:
        answer = await public.get(path.format(share_hash))
        assert b"canary-label" not in answer.body + repr(answer.headers).encode()


@pytest.mark.parametrize("path", [path for path in ROUTES if "qr" not in path])
async def test_module_restriction_hides_other_modules_and_their_names(
    alice: Caller, public: Caller, path: str
) -> None:
    segments = [
        segment(0, 1, "transcription", content="spoken"),
        segment(1, 2, "scenes", content="seen"),
        segment(2, 3, "transcript", content="canary-content"),
        segment(3, 4, "canary-module", content="canary-content"),
    ]
    await alice.put_video(segments=segments)
    report = await alice.share(modules=["scenes", "transcription", "not-there"])
    answer = await public.get(path.format(report["share_hash"]))
    assert answer.status == 200
    assert b"canary" not in answer.body
    assert b"not-there" not in answer.body
    whole = await public.get(path.format((await alice.share())["share_hash"]))
    if path.endswith("}"):
        assert answer.body != whole.body
    if path.endswith("segments"):
        assert [each["content"] for each in answer.json] == ["spoken", "seen"]
        for module, contents in (("scenes", ["seen"]), ("canary-module", []), ("not-there", [])):
            one = await public.get(f"{path.format(report['share_hash'])}?module={module}")
            assert [each["content"] for each in one.json] == contents
    elif path == ROUTES[0]:
        assert answer.json["video"]["modules"] == ["transcription", "scenes"]
        assert list(answer.json["video"]) == list(whole.json["video"])


async def test_module_restriction_to_none_still_shows_the_video_name(
    alice: Caller, public: Caller
) -> None:
    await alice.put_video(segments=[segment(0, 1)], duration=1e-7)
    share_hash = (await alice.share(modules=[]))["share_hash"]
    answer = await public.get(ROUTES[0].format(share_hash))
    assert answer.json["video"]["modules"] == []
    assert b'"duration":1e-7' in answer.body  # a number as it was given
    assert (await public.get(ROUTES[1].format(share_hash))).json == []
    assert "Product Demo" in text(await public.get(ROUTES[2].format(share_hash)))


async def is_shown(service: Service, report: Any) -> int:
    return (await service.public.get(ROUTES[0].format(report["share_hash"]))).status


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("expires_at", "2025-01-15T13:00:00+02:00", "2025-01-15T11:00:00"),
        ("not_before", "2025-01-15T10:00:30Z", "2025-01-15T10:00:30"),
        ("label", "second", "second"),
        ("modules", ["b", "a", "b"], ["b", "a"]),
        ("modules", [], []),
    ],
)
async def test_change_sets_named_fields_and_null_removes_them(
    service: Service, field: str, value: object, kept: object
) -> None:
    await service.alice.put_video()
    bare = await service.alice.share()
    full = await service.alice.share(
        expires_at="2025-01-15T12:00:00", not_before=BEFORE, label="first", modules=["c"]
    )
    for report in (bare, full):
        status = "scheduled" if field == "not_before" else "active"
        changed = await change(service, report, **{field: value})
        assert changed == report | {field: kept, "status": status}
        assert await change(service, report) == changed
        removed = await change(service, report, **{field: None})
        assert removed == report | {field: None}
        assert removed in (await service.alice.get(LIST)).json


async def test_link_is_deactivated_and_reactivated(service: Service) -> None:
    await service.alice.put_video()
    report = await service.alice.share()
    for _ in range(2):  # once more changes nothing
        off = await change(service, report, is_active=False)
        assert off == report | {"is_active": 0, "status": "inactive"}
        assert await is_shown(service, report) == 404
    assert (await change(service, report, label="x"))["status"] == "inactive"
    assert await change(service, report, is_active=True, label=None) == report
    assert await is_shown(service, report) == 200


@pytest.mark.parametrize("swept", [False, True])
async def test_link_that_expired_is_reactivated_only_by_a_new_expiry(
    service: Service, *, swept: bool
) -> None:
    await service.alice.put_video()
    report = await service.alice.share(expires_at="2025-01-15T10:01:00")
    path = f"/api/shared-reports/{report['id']}"
    await service.advance(60)
    if swept:
        await service.sweep()
    answer = await service.alice.patch(path, {"is_active": True, "label": "x"})
    assert is_problem(answer, 409, "conflict")
    assert "2025-01-15T10:01:00" in answer.json["detail"]
    assert "`expires_at`" in answer.json["detail"]
    changed = await change(service, report, label="y")
    assert (changed["status"], changed["label"]) == ("expired", "y")
    assert await is_shown(service, report) == 410
    changed = await change(service, report, expires_at="2025-01-15T10:02:00")
    assert (changed["status"], changed["is_active"]) == ("active", 1)
    assert await is_shown(service, report) == 200
    await service.advance(60)
    await service.sweep()
    assert await is_shown(service, report) == 410
    assert (await change(service, report, expires_at=None))["status"] == "active"


async def test_link_that_is_inactive_and_expired_needs_both_changes(service: Service) -> None:
    await service.alice.put_video()
    report = await service.alice.share(expires_at="2025-01-15T10:01:00")
    await change(service, report, is_active=False)
    await service.advance(60)
    path = f"/api/shared-reports/{report['id']}"
    assert (await service.alice.patch(path, {"is_active": True})).status == 409
    assert (await change(service, report, expires_at=None))["status"] == "inactive"
    assert (await change(service, report, is_active=True))["status"] == "active"


async def test_sweeper_is_woken_by_an_earlier_expiry(service: Service) -> None:
    await service.alice.put_video()
    report = await service.alice.share(expires_at="2025-01-15T11:00:00")
    await service.sweep()
    task = service.app[SWEEPER].task
    await change(service, report, expires_at="2025-01-15T10:00:30")
    async with asyncio.timeout(5):
        while task.due - time.monotonic() > 30:
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"expires_at": START}, "expires_at"),
        ({"expires_at": "2025-01-15T10:00:30"}, "not_before"),  # the link begins at that moment
        ({"not_before": "2025-01-15T12:00:00"}, "not_before"),
        ({"not_before": "then"}, "not_before"),
        ({"label": "x" * 201}, "label"),
        ({"is_active": None}, "is_active"),
        ({"is_active": 1}, "is_active"),
        ({"video_id": "job-1"}, "video_id"),
        ({"share_hash": "A" * 16}, "share_hash"),
    ],
)
async def test_change_that_is_invalid_changes_nothing(
    service: Service, fields: dict[str, object], named: str
) -> None:
    await service.alice.put_video()
    report = await service.alice.share(
        not_before="2025-01-15T10:00:30", expires_at="2025-01-15T12:00:00"
    )
    answer = await service.alice.patch(f"/api/shared-reports/{report['id']}", fields)
    assert is_problem(answer, 422, "invalid-request")
    assert named in answer.json["detail"]
    assert (await service.alice.get(LIST)).json == [report]


async def test_rotation_changes_the_share_hash_only(service: Service) -> None:
    await service.alice.put_video()
    report = await service.alice.share(expires_at=AFTER, label="x", modules=["a"])
    answer = await service.alice.post(f"/api/shared-reports/{report['id']}/rotate")
    assert answer.status == 200
    rotated = answer.json
    assert rotated["share_hash"] != report["share_hash"]
    assert rotated == report | {"share_hash": rotated["share_hash"]}
    assert answer.headers["Location"].endswith(f"/api/shared-reports/{rotated['share_hash']}")
    for path in ROUTES:
        dead = await service.public.get(path.format(report["share_hash"]))
        unknown = await service.public.get(path.format("A" * 16))
        assert (dead.status, dead.body) == (404, unknown.body)
        assert (await service.public.get(path.format(rotated["share_hash"]))).status == 200


async def test_rotation_retries_a_taken_share_hash(start: Start) -> None:
    hashes = iter(["A" * 16, "B" * 16, "A" * 16, "C" * 16])
    service = await start(new_share_hash=lambda: next(hashes))
    await service.alice.put_video()
    await service.alice.share()
    report = await service.alice.share()
    answer = await service.alice.post(f"/api/shared-reports/{report['id']}/rotate")
    assert answer.json["share_hash"] == "C" * 16


async def test_rotation_without_a_free_share_hash_is_an_internal_error(start: Start) -> None:
    service = await start(new_share_hash=lambda: "A" * 16)
    await service.alice.put_video()
    report = await service.alice.share()
    answer = await service.alice.post(f"/api/shared-reports/{report['id']}/rotate")
    assert is_problem(answer, 500, "internal-server-error")
    assert await is_shown(service, report) == 200
