"""What an owner sees and does in the console: videos, links, keys."""

from typing import Any
from urllib.parse import quote

import pytest
from support.console import Console, read_forms, signed_in, text_of
from support.harness import Caller, Service, segment

from service.domain.api_keys import KEY_NAME_MAX
from service.repositories.base_console import COUNTED_MAX
from service.web.app_keys import REPOSITORIES, VIEWS

REPORTS = "/api/shared-reports"


@pytest.fixture
async def console(service: Service, alice: Caller) -> Console:
    return await signed_in(service, alice)


@pytest.fixture
async def link(alice: Caller) -> Any:
    await alice.put_video(segments=[segment(0, 1)])
    return await alice.share(label="press")


async def status(service: Service, link: Any) -> int:
    return (await service.public.get(f"{REPORTS}/{link['share_hash']}")).status


# -- videos -------------------------------------------------------------------


@pytest.mark.own_service
async def test_videos_are_listed_with_status_and_number_of_links(
    console: Console, alice: Caller, link: Any
) -> None:
    await alice.put_video("job-2", video_name="Second", status="processing")
    await alice.share()
    await alice.delete("/api/videos/job-1/shared-reports")
    await alice.share()
    page = text_of(await console.get("/videos"))
    assert "Second processing Links 0 Job id job-2" in page
    assert "Product Demo completed Links 1 Job id job-1" in page
    filtered = text_of(await console.get("/videos?status=processing"))
    assert "Second" in filtered
    assert "Product Demo" not in filtered
    assert "status is one of" in text_of(await console.get("/videos?status=lost")).lower()
    assert link["id"] == "1"


async def test_number_of_links_is_counted_up_to_a_bound(
    service: Service, alice: Caller, link: Any
) -> None:
    for _ in range(COUNTED_MAX + 5):
        await alice.share()
    summaries = service.app[REPOSITORIES].summaries
    video_id = link["video_id"]
    asked = [video_id, "999", "x", video_id]
    [summary] = (await summaries.of_videos(alice.user_id, asked)).values()
    assert (summary.links, summary.job_id) == (COUNTED_MAX + 1, "job-1")
    assert await summaries.of_videos(service.bob.user_id, [video_id]) == {}
    console = await signed_in(service, alice)
    assert f"Links more than {COUNTED_MAX}" in text_of(await console.get("/videos"))


async def test_video_whose_job_id_no_path_can_hold_is_shown(
    console: Console, alice: Caller
) -> None:
    for job_id in ("a/b?c#d", "%2F", "<b>"):
        video = await alice.put_video(quote(job_id, safe=""))
        assert video["job_id"] == job_id
        answer = await console.submit(f"/videos/{video['id']}/share")
        assert answer.status == 303
        assert job_id in text_of(await console.get(f"/videos/{video['id']}")) or "<" in job_id


async def test_bulk_revocation_asks_once(console: Console, service: Service, link: Any) -> None:
    path = f"/videos/{link['video_id']}/revoke"
    assert "Revoke all links of this video?" in text_of(await console.get(path))
    assert await status(service, link) == 200
    answer = await console.submit(path)
    assert answer.headers["Location"].endswith(f"videos/{link['video_id']}?done=revoked-all")
    assert await status(service, link) == 404
    page = text_of(await console.get(f"/videos/{link['video_id']}?done=revoked-all"))
    assert "All links of this video are revoked." in page
    assert "Nobody can see this report yet." in page


# -- links --------------------------------------------------------------------


async def test_links_are_filtered_as_the_api_filters_them(
    console: Console, alice: Caller, link: Any
) -> None:
    await alice.put_video("job-2", video_name="Second")
    await alice.share("job-2", label="jury", expires_at="2025-02-01T00:00:00")
    await alice.share("job-2", label="private", not_before="2025-02-01T00:00:00")
    cases = {
        "": {"press", "jury", "private"},
        "status=scheduled": {"private"},
        "label=p": {"press", "private"},
        "video_id=job-2": {"jury", "private"},
        f"video_id={link['video_id']}": {"press"},
        "expires_before=2025-02-02T00:00": {"jury"},
        "status=&label=&video_id=&expires_before=": {"press", "jury", "private"},
        "label=none": set(),
    }
    for query, labels in cases.items():
        page = text_of(await console.get(f"/links?{query}"))
        shown = {label for label in ("press", "jury", "private") if f"{label} " in page}
        assert shown == labels, query
    assert "No link matches." in text_of(await console.get("/links?label=none"))
    wrong = await console.get("/links?expires_before=soon")
    assert wrong.status == 200
    assert "is not an ISO 8601 date-time" in text_of(wrong)


async def test_lists_have_the_pages_of_the_api(console: Console, alice: Caller) -> None:
    await alice.put_video()
    for number in range(5):
        await alice.share(label=f"number {number}")
    query, seen = "?limit=2&label=number", []
    while query:
        page = await console.get(f"/links{query}")
        seen.append([number for number in range(5) if f">number {number}<" in page.body.decode()])
        _, _, rest = page.body.decode().partition('rel="next"')
        before = page.body.decode().rpartition('" rel="next"')[0]
        query = before.rpartition('href="')[2].replace("&amp;", "&") if rest else ""
    assert seen == [[3, 4], [1, 2], [0]]
    assert b"First page" in page.body
    assert "Cursor is not one of this list" in text_of(await console.get("/links?cursor=x"))


async def test_link_page_shows_its_address_and_a_picture_of_it(
    console: Console, link: Any, service: Service
) -> None:
    page = await console.get(f"/links/{link['id']}")
    address = str(service.client.make_url(f"/r/{link['share_hash']}"))
    assert page.body.decode().count(address) == 3  # to click, to reach by keyboard, to open
    assert f'href="{address}?part=1"' in page.body.decode()
    picture = await console.get(f"/links/{link['id']}/qr.svg")
    assert (picture.status, picture.headers["Content-Type"]) == (200, "image/svg+xml")


async def test_opening_a_link_from_the_console_counts_no_view(
    alice: Caller, link: Any, service: Service
) -> None:
    assert (await service.public.get(f"/r/{link['share_hash']}?part=1")).status == 200
    assert (await service.public.get(f"/r/{link['share_hash']}")).status == 200
    await service.app[VIEWS].write()
    [stored] = (await alice.get(REPORTS)).json
    assert stored["view_count"] == 1


async def test_link_is_switched_off_and_on(console: Console, link: Any, service: Service) -> None:
    path = f"/links/{link['id']}"
    answer = await console.submit(path, to=f"{path}/switch")
    assert answer.headers["Location"].endswith("?done=switched-off")
    assert await status(service, link) == 404
    assert "You have switched it off" in text_of(await console.get(path))
    answer = await console.submit(path, to=f"{path}/switch")
    assert answer.headers["Location"].endswith("?done=switched-on")
    assert await status(service, link) == 200


async def test_link_that_cannot_be_switched_on_says_why(
    console: Console, alice: Caller, link: Any, service: Service
) -> None:
    path = f"/links/{link['id']}"
    change = {"is_active": False, "expires_at": "2025-01-15T10:00:10"}
    await alice.patch(f"{REPORTS}/{link['id']}", change)
    await service.advance(60)
    answer = await console.submit(path, to=f"{path}/switch")
    assert answer.status == 409
    assert "expire" in text_of(answer)


async def test_link_gets_a_new_address(console: Console, link: Any, service: Service) -> None:
    path = f"/links/{link['id']}"
    assert "The present address stops working" in text_of(await console.get(f"{path}/rotate"))
    assert await status(service, link) == 200
    answer = await console.submit(f"{path}/rotate")
    assert answer.headers["Location"].endswith(f"{path[1:]}?done=rotated")
    assert await status(service, link) == 404
    page = await console.get(path)
    assert link["share_hash"] not in page.body.decode()


async def test_link_is_revoked_after_one_question(
    console: Console, link: Any, service: Service
) -> None:
    path = f"/links/{link['id']}/revoke"
    assert "Revoke this link?" in text_of(await console.get(path))
    assert await status(service, link) == 200
    answer = await console.submit(path)
    assert answer.headers["Location"].endswith("links?done=revoked")
    assert await status(service, link) == 404
    page = text_of(await console.get("/links?done=revoked"))
    assert "The link is revoked" in page
    assert (await console.get(path)).status == 404


# -- keys ---------------------------------------------------------------------


async def test_key_is_created_and_shown_once(
    console: Console, alice: Caller, service: Service
) -> None:
    page = await console.submit("/keys", name=" ci ")
    assert page.status == 201
    key = page.body.decode().partition('readonly value="')[2].partition('"')[0]
    assert (await Caller(service.client, key).get("/api/videos")).status == 200
    [created, _] = (await alice.get("/api/keys")).json
    assert created["name"] == "ci"
    again = await console.get("/keys")
    assert key.encode() not in again.body
    assert created["key_prefix"] in again.body.decode()


@pytest.mark.parametrize("name", ["", "x" * (KEY_NAME_MAX + 1)])
async def test_key_with_a_bad_name_is_rejected_in_words(console: Console, name: str) -> None:
    page = await console.submit("/keys", name=name)
    assert page.status == 422
    expected = "It is empty." if not name else "more than 200 characters"
    assert expected in text_of(page)
    [form] = [form for form in read_forms(page).forms if "name" in form.names]
    assert ("name", name) in form.fields


async def test_key_is_switched_off_and_on_and_deleted(
    console: Console, alice: Caller, service: Service
) -> None:
    spare = (await alice.post("/api/keys", {"name": "spare"})).json
    path, program = f"/keys/{spare['id']}", Caller(service.client, spare["raw_key"])
    await console.submit(f"{path}/switch")
    assert (await program.get("/api/videos")).status == 401
    await console.submit("/keys", to=f"{path}/switch")
    assert (await program.get("/api/videos")).status == 200
    await console.submit(f"{path}/delete")
    assert (await program.get("/api/videos")).status == 401
    assert [key["name"] for key in (await alice.get("/api/keys")).json] == ["test"]


async def test_own_key_signs_out_when_it_is_deleted(console: Console, alice: Caller) -> None:
    [own] = (await alice.get("/api/keys")).json
    assert "you are signed in with it" in text_of(await console.get("/keys"))
    path = f"/keys/{own['id']}/delete"
    assert "you will be signed out" in text_of(await console.get(path))
    assert (await console.submit(path)).status == 303
    assert (await console.get("/keys")).headers["Location"] == "sign-in"


async def test_keys_have_pages(console: Console, alice: Caller) -> None:
    for number in range(3):
        await alice.post("/api/keys", {"name": f"number {number}"})
    page = await console.get("/keys?limit=2")
    assert [f"number {n}" in text_of(page) for n in range(3)] == [False, True, True]
    following = page.body.decode().partition('" rel="next"')[0].rpartition('href="')[2]
    page = await console.get(f"/keys{following.replace('&amp;', '&')}")
    assert [f"number {n}" in text_of(page) for n in range(3)] == [True, False, False]


@pytest.mark.own_service
async def test_video_is_named_by_its_id_also_if_it_is_a_job_id(
    console: Console, alice: Caller
) -> None:
    first = await alice.put_video("2", video_name="First")
    second = await alice.put_video("second", video_name="Second")
    assert second["id"] == first["job_id"]
    for video in (first, second):
        assert f"Job id {video['job_id']}" in text_of(await console.get(f"/videos/{video['id']}"))
