"""A link's settings: each one is created, changed, removed, listed, replayed and rotated alike."""

from typing import Any

import pytest
from support.access import PASSWORD
from support.events import enable, events_of, without_hash
from support.harness import Caller, Service, is_problem
from support.idempotency import create, is_replay_of
from support.links import LIST, ROUTES, change

from service.domain.links import LinkSettings, NewSharedReport, SharedReport, SharedReportChange

ALL = "/api/shared-reports"

# A first and a second value of each setting, as it is sent and as it is shown.
VALUES: dict[str, list[tuple[Any, Any]]] = {
    "expires_at": [
        ("2025-01-15T12:00:00+01:00", "2025-01-15T11:00:00"),
        ("2025-01-16", "2025-01-16T00:00:00"),
    ],
    "not_before": [
        ("2025-01-15T10:30:00", "2025-01-15T10:30:00"),
        ("2025-01-15T10:40:00Z", "2025-01-15T10:40:00"),
    ],
    "max_views": [(3, 3), (4, 4)],
    "password": [(PASSWORD, 1), ("another", 1)],
    "label": [("für die Presse", "für die Presse"), ("", "")],
    "modules": [(["b", "a", "b"], ["b", "a"]), ([], [])],
    "note": [("Straße\n\u2028\"'", "Straße\n\u2028\"'"), ("n" * 500, "n" * 500)],
    "sender": [("Ann, Presse ☀", "Ann, Presse ☀"), ("s" * 100, "s" * 100)],
}
ABSENT = {"password": 0}
"""How a setting that is not set is shown, if not as null."""

SETTINGS = [name for name in LinkSettings.__struct_fields__ if name != "is_active"]
each_setting = pytest.mark.parametrize("name", SETTINGS)


def shown_as(name: str) -> str:
    return "has_password" if name == "password" else name


def with_setting(report: Any, name: str, value: object) -> Any:
    """Return a link as it is shown with another value of a setting."""
    becomes = {shown_as(name): value}
    if name == "not_before":
        becomes["status"] = "active" if value is None else "scheduled"
    return report | becomes


@pytest.fixture
async def alice(service: Service) -> Caller:
    await service.alice.put_video()
    return service.alice


@each_setting
async def test_setting_that_changes_is_in_the_event(alice: Caller, name: str) -> None:
    """Set, changed and removed: each event shows the link as the answer did."""
    await enable(alice)
    (first, _), (second, _) = VALUES[name]
    shown = [await alice.share(**{name: first})]
    path = f"{ALL}/{shown[0]['id']}"
    shown += [(await alice.patch(path, {name: value})).json for value in (second, None)]
    events = await events_of(alice)
    assert [event["data"] for event in events] == [without_hash(report) for report in shown]


async def test_modules_of_a_link_have_a_bound_in_bytes(alice: Caller) -> None:
    report = await alice.share(modules=["x"])
    path = f"{ALL}/{report['id']}"
    for names in (
        ["\1" * 100 + f"{n}" for n in range(40)],
        ["\u6703" * 197 + f"{n}" for n in range(41)],
    ):
        for answer in (
            await alice.post(ALL, {"video_id": "job-1", "modules": names}),
            await alice.patch(path, {"modules": names}),
        ):
            assert is_problem(answer, 422, "invalid-request")
            assert "`modules` has more than 24000 bytes" in answer.json["detail"]
        within = names[:39]
        assert (await alice.patch(path, {"modules": within})).json["modules"] == within
    assert len((await alice.get(ALL)).json) == 1


async def lists(caller: Caller) -> list[Any]:
    """Return the one link of each list."""
    found = []
    for path in (ALL, f"{ALL}?video_id=job-1", LIST, f"{LIST}?limit=1"):
        [report] = (await caller.get(path)).json
        found.append(report)
    return found


def test_settings_are_in_every_request_and_in_the_response() -> None:
    assert list(VALUES) == SETTINGS
    assert list(NewSharedReport.__struct_fields__) == ["video_id", *SETTINGS]
    assert SharedReportChange.__struct_fields__ == LinkSettings.__struct_fields__
    assert {shown_as(name) for name in SETTINGS} <= set(SharedReport.__struct_fields__)


@each_setting
async def test_setting_is_created_and_listed(alice: Caller, name: str) -> None:
    (sent, shown), _ = VALUES[name]
    report = (await alice.post(ALL, {"video_id": "job-1", name: sent})).json
    assert report[shown_as(name)] == shown
    assert await lists(alice) == [report] * 4


@each_setting
async def test_setting_is_changed_and_removed_by_null(
    service: Service, alice: Caller, name: str
) -> None:
    bare = await alice.share()
    for sent, shown in VALUES[name]:
        report = await change(service, bare, **{name: sent})
        assert report == with_setting(bare, name, shown)
        assert await lists(alice) == [report] * 4
        assert await change(service, bare) == report  # what is left out stays
    assert await change(service, bare, **{name: None}) == bare
    assert await lists(alice) == [bare] * 4


@each_setting
async def test_setting_created_as_null_equals_one_left_out(alice: Caller, name: str) -> None:
    report = (await alice.post(ALL, {"video_id": "job-1", name: None})).json
    assert report[shown_as(name)] == ABSENT.get(name)


@each_setting
async def test_setting_is_part_of_a_replay(service: Service, alice: Caller, name: str) -> None:
    (sent, shown), (other, _) = VALUES[name]
    body = {"video_id": "job-1", name: sent}
    first = await create(alice, "k", body)
    assert first.json[shown_as(name)] == shown
    await change(service, first.json, **{name: other})
    assert is_replay_of(await create(alice, "k", body), first)
    for another in ({"video_id": "job-1"}, body | {name: other}):
        assert is_problem(await create(alice, "k", another), 422, "invalid-request")
    await alice.delete(f"{ALL}/{first.json['id']}")
    await service.advance(24 * 3600 - 1)  # after an expiry, too
    assert is_replay_of(await create(alice, "k", body), first)


@each_setting
async def test_setting_is_kept_by_a_rotation(alice: Caller, name: str) -> None:
    (sent, _), _ = VALUES[name]
    report = (await alice.post(ALL, {"video_id": "job-1", name: sent})).json
    rotated = (await alice.post(f"{ALL}/{report['id']}/rotate")).json
    assert rotated == report | {"share_hash": rotated["share_hash"]}
    assert await lists(alice) == [rotated] * 4


@pytest.mark.parametrize(
    ("note", "status"), [("", 201), ("ü" * 500, 201), ("n" * 501, 422), (1, 422), (["x"], 422)]
)
async def test_note_has_at_most_500_characters(alice: Caller, note: object, status: int) -> None:
    answer = await alice.post(ALL, {"video_id": "job-1", "note": note})
    assert answer.status == status
    if status == 422:
        assert "note" in answer.json["detail"]
    report = await alice.share()
    assert (await alice.patch(f"{ALL}/{report['id']}", {"note": note})).status == (
        200 if status == 201 else 422
    )


@pytest.mark.parametrize("name", ["label", "note"])
async def test_label_and_note_are_in_no_public_response(
    alice: Caller, public: Caller, name: str
) -> None:
    share_hash = (await alice.share(**{name: "canary-words"}))["share_hash"]
    for path in ROUTES:
        answer = await public.get(path.format(share_hash))
        assert answer.status == 200
        assert b"canary-words" not in answer.body + repr(answer.headers).encode()


async def test_fractions_of_a_second_never_lengthen_a_link(alice: Caller) -> None:
    report = await alice.share(
        not_before="2025-01-15T10:00:59.000001Z", expires_at="2025-01-15T11:00:00.999Z"
    )
    assert (report["not_before"], report["expires_at"]) == (
        "2025-01-15T10:01:00",
        "2025-01-15T11:00:00",
    )
    body = {"video_id": "job-1", "not_before": "9999-12-31T23:59:59.5"}
    assert is_problem(await alice.post(ALL, body), 422, "invalid-request")
