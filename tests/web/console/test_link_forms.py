"""The forms that create and change a link: all its settings, in words, with errors beside them."""

from html import unescape
from typing import Annotated, Any

import msgspec
import pytest
from support.console import Console, fill, read_forms, signed_in, text_of
from support.harness import Caller, Service, segment

from service.domain.links import LinkSettings, NewSharedReport, SharedReport
from service.web.console.fields import FIELDS, NEW_FIELDS, Field, field_of

SETTINGS: dict[str, Any] = {
    "expires_at": "2025-03-01T00:00:30",
    "not_before": "2025-02-01T00:00:00",
    "max_views": 7,
    "password": "old",
    "label": "old label",
    "modules": ["objects"],
    "note": "old note",
}
SEGMENTS = [segment(0, 1), segment(2, 3, "objects"), segment(3, 4, "transcription")]


@pytest.fixture
async def video(alice: Caller) -> str:
    return str((await alice.put_video(segments=SEGMENTS))["id"])


@pytest.fixture
async def link(alice: Caller, video: str) -> Any:
    """A link with all its settings."""
    return await alice.share(video, **SETTINGS)


@pytest.fixture
async def console(service: Service, alice: Caller) -> Console:
    return await signed_in(service, alice)


def test_fields_are_all_settings_of_a_link() -> None:
    settings = LinkSettings.__struct_fields__
    assert sorted(field.name for field in FIELDS) == sorted(settings)
    new = set(settings) & set(NewSharedReport.__struct_fields__)
    assert {field.name for field in NEW_FIELDS} == new
    assert all(field.help and "null" not in field.help for field in FIELDS)


def test_field_of_a_new_setting_follows_from_its_type() -> None:
    def inspected(setting: Any) -> Field:
        return field_of("studio_name", msgspec.inspect.type_info(setting))

    text = msgspec.Meta(max_length=80, description="Who made it; null for nobody.")
    expected = Field("studio_name", "Studio name", "Who made it.", "text", length=80)
    assert inspected(Annotated[str, text] | None) == expected
    with pytest.raises(TypeError, match="no field for the setting studio_name"):
        inspected(float)


async def test_forms_have_a_control_for_each_setting(
    console: Console, link: Any, video: str
) -> None:
    for path, fields in (
        (f"/videos/{video}/share", NEW_FIELDS),
        (f"/links/{link['id']}/change", FIELDS),
    ):
        page = await console.get(path)
        controls = {name.partition("-")[0] for name in read_forms(page).controls}
        assert {field.name for field in fields} <= controls
        for field in fields:
            assert field.title in text_of(page)
    shown = text_of(await console.get(f"/links/{link['id']}"))
    assert all(field.title in shown for field in FIELDS)


async def test_form_creates_a_link_with_all_its_settings(
    console: Console, alice: Caller, video: str, service: Service
) -> None:
    answer = await console.submit(
        f"/videos/{video}/share",
        label="  for the press ",
        note="Sent on Monday.\r\nTo two editors.",
        max_views="20",
        expires_at__mode="after",
        expires_at__number="7",
        expires_at__unit="days",
        not_before__mode="at",
        not_before__at="2025-01-16T08:30",
        password__mode="new",
        password="correct horse",
        modules__mode="some",
        modules=["scenes", "objects"],
        modules__other="later module\r\n\r\n",
    )
    assert answer.status == 303, text_of(answer)
    [link] = (await alice.get("/api/shared-reports")).json
    assert answer.headers["Location"] == f"../../links/{link['id']}?done=created"
    assert link["label"] == "for the press"
    assert link["note"] == "Sent on Monday.\nTo two editors."
    assert link["max_views"] == 20
    assert link["expires_at"] == "2025-01-22T10:00:00"
    assert link["not_before"] == "2025-01-16T08:30:00"
    assert link["has_password"] == 1
    assert link["modules"] == ["scenes", "objects", "later module"]
    page = text_of(await console.get(f"/links/{link['id']}?done=created"))
    assert "The link is ready." in page
    assert "22 January 2025, 10:00 UTC" in page
    assert f"/r/{link['share_hash']}" in page
    await service.advance(86_400)
    unlock = {"password": "correct horse"}
    path = f"/api/shared-reports/{link['share_hash']}/unlock"
    assert (await service.public.post(path, unlock)).status == 200


async def test_form_as_it_is_creates_a_link_like_the_api(
    console: Console, alice: Caller, video: str
) -> None:
    await console.submit(f"/videos/{video}/share")
    by_form = (await alice.get("/api/shared-reports")).json[0]
    by_api = await alice.share()
    own = {"id", "share_hash"}
    assert {k: v for k, v in by_form.items() if k not in own} == {
        k: v for k, v in by_api.items() if k not in own
    }


async def test_form_that_is_sent_twice_creates_one_link(
    console: Console, alice: Caller, video: str
) -> None:
    page = await console.get(f"/videos/{video}/share")
    path = f"/videos/{video}/share"
    form = fill(page, path, {"label": "once"})
    first, second = [await console.send(path, form.fields) for _ in range(2)]
    assert first.headers["Location"] == second.headers["Location"]
    assert len((await alice.get("/api/shared-reports")).json) == 1
    # The same page with other settings is another wish: nobody is to lose it without a word.
    changed = fill(page, path, {"label": "twice"})
    answer = await console.send(path, changed.fields)
    assert answer.status == 422
    assert "This form has created a link already" in text_of(answer)
    again = fill(answer, path, {})
    assert ("label", "twice") in again.fields
    assert (await console.send(path, again.fields)).status == 303


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"max_views": "many"}, "max_views", "Give a whole number"),
    ({"max_views": "0"}, "max_views", "It is a number from 1 on."),
    ({"max_views": "9999999999"}, "max_views", "It is a number up to 1000000000."),
    ({"label": "x" * 201}, "label", "It has more than 200 characters."),
    ({"note": "x" * 501}, "note", "It has more than 500 characters."),
    ({"expires_at__mode": "at", "expires_at__at": ""}, "expires_at", "Give a date and a time."),
    (
        {"expires_at__mode": "at", "expires_at__at": "2024-01-01T00:00"},
        "expires_at",
        "is not in the future",
    ),
    (
        {"expires_at__mode": "at", "expires_at__at": "2025-02-30T00:00"},
        "expires_at",
        "is not an ISO 8601",
    ),
    ({"expires_at__mode": "after", "expires_at__number": "0"}, "expires_at", "from 1 to 10,000"),
    ({"expires_at__mode": None}, "expires_at", "Choose one of these."),
    ({"not_before__mode": None}, "not_before", "Choose one of these."),
    (
        {"expires_at__mode": "after", "not_before__mode": "after", "not_before__number": "8"},
        "not_before",
        "is not before",
    ),
    ({"password__mode": "new", "password": ""}, "password", "Give a password."),
    ({"password__mode": "new", "password": "x" * 201}, "password", "more than 200 characters"),
    ({"modules__mode": "some"}, "modules", "Choose at least one module"),
    ({"modules__mode": "some", "modules__other": "scenery"}, "modules", "The video has no scenery"),
    ({"modules__mode": "some", "modules__other": "x" * 201}, "modules", "more than 200 characters"),
]


@pytest.mark.engine("sqlite")
async def test_errors_stand_beside_their_fields_and_typed_values_stay(
    console: Console, alice: Caller, video: str
) -> None:
    path = f"/videos/{video}/share"
    page = await console.get(path)
    for changes, name, message in WRONG:
        typed = {"label": "kept label", "note": "kept\nnote"} | changes
        form = fill(page, path, typed)
        answer = await console.send(path, form.fields)
        assert answer.status == 422, (changes, answer.status)
        html = answer.body.decode()
        beside = html.partition(f'id="{name}-wrong">')[2].partition("</p>")[0]
        assert message in unescape(beside), (changes, text_of(answer))
        assert html.count('class="fault"') == 1, changes
        kept = fill(answer, path, {}).fields
        secret = {"csrf", "password", "key"}
        sent = {pair for pair in form.fields if pair[0] not in secret}
        assert sent <= set(kept), changes
    assert (await alice.get("/api/shared-reports")).json == []


async def test_change_form_shows_and_changes_every_setting(
    console: Console, alice: Caller, link: Any
) -> None:
    path = f"/links/{link['id']}/change"
    # Nothing is changed by a form that is sent as it came.
    assert (await console.submit(path)).headers[
        "Location"
    ] == f"../../links/{link['id']}?done=changed"
    assert await get(alice, link) == link
    answer = await console.submit(
        path,
        label="",
        note="new note",
        max_views="",
        expires_at__mode="none",
        not_before__mode="none",
        password__mode="none",
        modules__mode="all",
        is_active=None,
    )
    assert answer.status == 303, text_of(answer)
    changed = await get(alice, link)
    assert changed["note"] == "new note"
    assert changed["status"] == "inactive"
    for name in ("label", "max_views", "expires_at", "not_before", "modules"):
        assert changed[name] is None, name
    assert changed["has_password"] == 0
    await console.submit(path, is_active="on", password__mode="new", password="new")
    assert (await get(alice, link))["status"] == "active"
    assert (await get(alice, link))["has_password"] == 1


async def get(owner: Caller, link: dict[str, Any]) -> dict[str, Any]:
    links = (await owner.get("/api/shared-reports")).json
    return next(each for each in links if each["id"] == link["id"])


async def test_change_form_of_an_expired_link_changes_its_label(
    console: Console, alice: Caller, link: Any, service: Service
) -> None:
    """What stays as it is, is not validated anew."""
    await alice.patch(f"/api/shared-reports/{link['id']}", {"not_before": None})
    await service.advance(46 * 86_400)
    console = await signed_in(service, alice)
    path = f"/links/{link['id']}/change"
    assert (await console.submit(path, label="over")).status == 303
    assert (await get(alice, link))["label"] == "over"
    assert (await console.submit(path, expires_at__mode="after")).status == 303
    assert (await get(alice, link))["status"] == "active"


async def test_change_form_tells_of_a_change_meanwhile(
    console: Console, alice: Caller, link: Any
) -> None:
    path = f"/links/{link['id']}/change"
    page = await console.get(path)
    await alice.patch(f"/api/shared-reports/{link['id']}", {"label": "second"})
    form = fill(page, path, {"note": "mine"})
    answer = await console.send(path, form.fields)
    assert answer.status == 422
    assert "The link was changed meanwhile" in text_of(answer)
    assert (await get(alice, link))["label"] == "second"
    assert (await console.send(path, fill(answer, path, {}).fields)).status == 303
    changed = await get(alice, link)
    assert (changed["label"], changed["note"]) == ("old label", "mine")


async def test_forms_show_what_was_stored_as_text(console: Console, alice: Caller) -> None:
    hostile = "</textarea></title><script>alert(1)</script>\"'><b>&amp;"
    video = await alice.put_video("job-2", video_name=hostile, segments=[segment(0, 1, hostile)])
    link = await alice.share("job-2", label=hostile, note=f"\n{hostile}", modules=[hostile])
    for path in (f"/links/{link['id']}/change", f"/links/{link['id']}", "/links", "/videos"):
        page = await console.get(path)
        assert b"<script" not in page.body
        assert b"<b>" not in page.body
    form = fill(await console.get(f"/links/{link['id']}/change"), "/change", {})
    fields = dict(form.fields)
    assert (fields["label"], fields["note"], fields["modules"]) == (
        hostile,
        f"\n{hostile}",
        hostile,
    )
    assert (await console.get(f"/videos/{video['id']}")).status == 200


def test_words_name_every_setting_of_a_link() -> None:
    shown = set(SharedReport.__struct_fields__) | {"password"}
    assert {field.name for field in FIELDS} <= shown
