"""Texts that look equal are equal: names, labels, notes and filters are in Unicode's form NFC."""

from typing import Any

import pytest
from support.harness import Caller, is_problem, segment

DECOMPOSED, COMPOSED = "u\u0308ber", "\u00fcber"
GROWS = "\u0344"  # two characters in NFC
each_form = pytest.mark.parametrize("form", [DECOMPOSED, COMPOSED])


@each_form
async def test_video_name_and_project_are_stored_in_nfc(alice: Caller, form: str) -> None:
    for fields in ({"video_name": form}, {"video_name": None, "name": form}):
        video = await alice.put_video(**fields, project_id=form, storage_path=DECOMPOSED)
        assert (video["name"], video["project_id"]) == (COMPOSED, COMPOSED)
        assert video["storage_path"] == DECOMPOSED  # a file is found by its bytes
    for asked in (DECOMPOSED, COMPOSED):
        listed = (await alice.get("/api/videos", params={"project_id": asked})).json
        assert [each["job_id"] for each in listed] == ["job-1"]
    assert (await alice.get("/api/videos", params={"project_id": "uber"})).json == []


@each_form
async def test_job_ids_are_compared_by_their_characters(alice: Caller, form: str) -> None:
    """A job id is the platform's: it gets back what it has put, and two forms are two jobs."""
    for job_id in (DECOMPOSED, COMPOSED):
        await alice.put_video(job_id)
    assert (await alice.get(f"/api/videos/{form}")).json["job_id"] == form
    assert (await alice.delete(f"/api/videos/{form}")).status == 200
    [left] = (await alice.get("/api/videos")).json
    assert left["job_id"] == ({DECOMPOSED, COMPOSED} - {form}).pop()


@each_form
@pytest.mark.parametrize("in_lists", [False, True])
async def test_module_names_are_stored_and_found_in_nfc(
    alice: Caller, public: Caller, form: str, in_lists: object
) -> None:
    found = segment(0, 1, form, content=DECOMPOSED)
    fields: dict[str, Any] = {form: [found]} if in_lists else {"segments": [found]}
    await alice.put_video(**fields)
    report = await alice.share()
    video = (await public.get(f"/api/shared-reports/{report['share_hash']}")).json["video"]
    assert video["modules"] == [COMPOSED]
    for asked in (DECOMPOSED, COMPOSED):
        params = {"module": asked}
        for caller, path in (
            (alice, "/api/videos/job-1/segments"),
            (public, f"/api/shared-reports/{report['share_hash']}/segments"),
        ):
            [shown] = (await caller.get(path, params=params)).json
            assert (shown["module"], shown["content"]) == (COMPOSED, DECOMPOSED)
        captions = await public.get(f"/r/{report['share_hash']}/transcript.vtt", params=params)
        assert DECOMPOSED in captions.body.decode()


async def test_module_lists_of_one_name_in_two_forms_are_both_taken(alice: Caller) -> None:
    lists: dict[str, Any] = {
        DECOMPOSED: [segment(0, 1, COMPOSED), segment(1, 2, DECOMPOSED)],
        COMPOSED: [segment(2, 3, COMPOSED)],
    }
    await alice.put_video(**lists)
    stored = (await alice.get("/api/videos/job-1/segments")).json
    assert [(each["id"], each["module"]) for each in stored] == [
        ("1", COMPOSED),
        ("2", COMPOSED),
        ("3", COMPOSED),
    ]
    await alice.put_video(segments=[segment(5, 6, COMPOSED)], **lists)  # `segments` counts
    assert len((await alice.get("/api/videos/job-1/segments")).json) == 1


async def test_key_name_is_stored_in_nfc(alice: Caller) -> None:
    created = (await alice.post("/api/keys", {"name": DECOMPOSED})).json
    assert created["name"] == COMPOSED


@pytest.mark.parametrize(
    ("method", "path", "field", "bound"),
    [
        ("PUT", "/api/videos/job-2", "video_name", 1_000),
        ("PUT", "/api/videos/job-2", "project_id", 1_000),
        ("POST", "/api/keys", "name", 200),
        ("POST", "/api/shared-reports", "label", 200),
        ("POST", "/api/shared-reports", "note", 500),
        ("POST", "/api/shared-reports", "modules", 200),
    ],
)
async def test_text_is_bounded_as_it_is_stored(
    alice: Caller, method: str, path: str, field: str, bound: int
) -> None:
    await alice.put_video()
    bodies: dict[str, dict[str, Any]] = {
        "/api/videos/job-2": {"video_name": "x"},
        "/api/keys": {"name": "x"},
        "/api/shared-reports": {"video_id": "job-1"},
    }
    for length, text in ((bound, GROWS * (bound // 2)), (bound + 2, GROWS * (bound // 2 + 1))):
        value = [text] if field == "modules" else text
        answer = await alice.call(method, path, bodies[path] | {field: value})
        if length <= bound:
            assert answer.status == 201
        else:
            assert is_problem(answer, 422, "invalid-request")
            assert f"`{field}` has more than {bound} characters" in answer.json["detail"]


async def test_module_of_a_segment_is_bounded_as_it_is_stored(alice: Caller) -> None:
    for fields in (
        {"segments": [segment(0, 1, GROWS * 101)]},
        {GROWS * 101: [{"start_time": 0, "end_time": 1}]},
    ):
        answer = await alice.put("/api/videos/job-1", {"video_name": "x"} | fields)
        assert is_problem(answer, 422, "invalid-request")
        assert "`module` has more than 200 characters" in answer.json["detail"]


async def test_filter_of_combining_marks_is_answered(alice: Caller) -> None:
    """As many as an address holds: their order is found in a millisecond, not by their square."""
    marks = "\u0301\u0316" * 600
    for path, name in (("/api/videos", "project_id"), ("/api/shared-reports", "label")):
        answer = await alice.get(path, params={name: marks})
        assert (answer.status, answer.json) == (200, [])
