"""Exports over HTTP: every job id can be reached again, and what is ignored is told."""

import json
import unicodedata
from urllib.parse import quote, unquote

import pytest
from support.harness import Caller, export, is_problem, segment

PRINTABLE = [chr(code) for code in range(0x110000) if chr(code).isprintable()]
ASCII = [char for char in PRINTABLE if char.isascii()]
# One of each category and plane of 4,096 characters: all go through the same escapes.
OTHERS = sorted(
    {(ord(char) >> 12, unicodedata.category(char)): char for char in PRINTABLE}.values()
)


async def check_job_id(alice: Caller, job_id: str) -> None:
    """Put, read, list, share and delete a video."""
    path = f"/api/videos/{quote(job_id, safe='')}"
    answer = await alice.put(path, export(segments=[segment(0, 1)], job_id=job_id))
    assert answer.status == 201, job_id
    assert (await alice.get(path)).json["job_id"] == job_id
    assert [video["job_id"] for video in (await alice.get("/api/videos")).json] == [job_id]
    assert (await alice.get(f"{path}/segments")).json[0]["job_id"] == job_id
    report = await alice.share(job_id)
    assert (await alice.get(f"{path}/shared-reports")).json == [report]
    assert (await alice.delete(f"{path}/shared-reports")).json["deleted"] == 1
    assert (await alice.delete(path)).json == {"ok": True}
    assert (await alice.get(path)).status == 404


@pytest.mark.parametrize("first", range(0, len(ASCII), 24))
async def test_job_id_with_any_printable_ascii_is_reached(alice: Caller, first: int) -> None:
    for char in ASCII[first : first + 24]:
        for job_id in {f"{char}5b0f7d0e{char}", char} - {"."}:
            await check_job_id(alice, job_id)


async def test_job_id_with_characters_of_all_kinds_is_reached(alice: Caller) -> None:
    for start in range(0, len(OTHERS), 150):
        await check_job_id(alice, "".join(OTHERS[start : start + 150]))


@pytest.mark.parametrize("job_id", ["{5b0f7d0e}", "{", "}", "%2F", "%25", "%", "%E9", "a/../b"])
async def test_job_id_that_looks_like_an_escape_is_reached(alice: Caller, job_id: str) -> None:
    await check_job_id(alice, job_id)


@pytest.mark.parametrize("name", ["caf%E9", "%FF", "%ED%A0%80", "%C3"])
async def test_job_id_that_is_no_utf8_is_rejected(alice: Caller, name: str) -> None:
    for method in ("PUT", "GET", "DELETE"):
        body = export() if method == "PUT" else None
        answer = await alice.call(method, f"/api/videos/{name}", body)
        assert is_problem(answer, 400, "malformed-request")
        assert "UTF-8" in answer.json["detail"]
    answer = await alice.get(f"/api/videos/a/segments?module={name}")
    assert is_problem(answer, 400, "malformed-request")
    assert (await alice.get("/api/videos")).json == []


async def test_put_video_takes_modules_from_their_own_lists(alice: Caller) -> None:
    body = export(
        transcription=[segment(0, 1, "transcription", content="kept?")],
        scenes=[segment(0, 4, content="Scene 1"), {"start_time": 4, "end_time": 5}],
        name=[segment(1, 2, "name")],
    )
    answer = await alice.put("/api/videos/job-1", body)
    assert answer.status == 201
    assert "Ignored-Fields" not in answer.headers
    found = (await alice.get("/api/videos/job-1/segments")).json
    assert [(each["module"], each["content"]) for each in found] == [
        ("transcription", "kept?"),
        ("scenes", "Scene 1"),
        ("name", "…"),
        ("scenes", ""),
    ]


async def test_put_video_names_the_fields_that_it_ignores(alice: Caller) -> None:
    body = export(segmnets=[segment(0, 1)], segments=[segment(0, 1, score=1)])
    for status in (201, 200):
        answer = await alice.put("/api/videos/job-1", body)
        assert answer.status == status
        assert answer.headers["Ignored-Fields"] == "segmnets, segments.score"


async def test_ignored_fields_are_bounded_and_encoded(alice: Caller) -> None:
    names = ["a\r\nX: y", "b, c", "+1", "\u202e", *(f"{n}{'🎬' * 40}" for n in range(50))]
    answer = await alice.put("/api/videos/job-1", export(**dict.fromkeys(names, 1)))
    header = answer.headers["Ignored-Fields"]
    assert len(header) <= 1_000
    *items, rest = header.split(", ")
    assert all(set(item) <= set(quote(unquote(item), safe="")) for item in items)
    assert [unquote(item) for item in items] == [
        "a\ufffd\ufffdX: y",
        "b, c",
        "+1",
        "\ufffd",
        f"0{'🎬' * 40}",
    ]
    assert rest == f"+{len(names) - len(items)}"


async def test_put_video_says_where_nan_stands(alice: Caller) -> None:
    body = json.dumps(
        export(segments=[segment(0, 1, metadata={"words": [{"score": float("nan")}]})])
    )
    answer = await alice.put("/api/videos/job-1", body.encode())
    assert is_problem(answer, 400, "malformed-request")
    position = body.index("NaN")
    assert answer.json["detail"] == (
        f"The body is not valid JSON at byte {position}, NaN is not a JSON number: "
        f"…{body[position - 20 :]}"
    )


async def test_json_error_says_where_a_body_is_wrong(alice: Caller, public: Caller) -> None:
    await alice.put_video()
    share_hash = (await alice.share(password="x"))["share_hash"]
    for call in (
        alice.post("/api/shared-reports", b'{"video_id": "job-1", "expires_at": }'),
        alice.post("/api/keys", b'{"name": NaN}'),
        public.post(f"/api/shared-reports/{share_hash}/unlock", b'{"password": "x"'),
    ):
        answer = await call
        assert is_problem(answer, 400, "malformed-request")
        assert "not valid JSON at byte " in answer.json["detail"]
