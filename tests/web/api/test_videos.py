"""Videos and their analysis: taken in whole or not at all, and given back as the platform does."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from support.harness import START, Caller, Service, export, is_problem, sample, segment

VIDEO_FIELDS = [
    "id",
    "user_id",
    "job_id",
    "project_id",
    "name",
    "status",
    "selected_insights",
    "duration",
    "file_size",
    "processing_time",
    "storage_path",
    "created_at",
    "updated_at",
]
SEGMENT_FIELDS = [
    "id",
    "job_id",
    "module",
    "content",
    "start_time",
    "end_time",
    "metadata",
    "created_at",
]


async def segments(caller: Caller, job_id: str = "job-1", query: str = "") -> Any:
    return (await caller.get(f"/api/videos/{job_id}/segments{query}")).json


async def test_segments_of_a_real_export_come_back_as_the_platform_gives_them(
    alice: Caller,
) -> None:
    job_id = sample()["job_id"]
    answer = await alice.put(f"/api/videos/{job_id}", sample())
    assert answer.status == 201
    assert list(answer.json) == VIDEO_FIELDS
    assert answer.json["name"] == sample()["video_name"]
    assert answer.json["duration"] == sample()["duration"]
    assert json.loads(answer.json["selected_insights"]) == [
        "scenes",
        "transcription",
        "visualelements",
    ]
    given = sorted(sample()["segments"], key=lambda each: each["start_time"])
    assert await segments(alice, job_id) == given
    assert list(given[0]) == SEGMENT_FIELDS


async def test_segments_are_filtered_by_module(alice: Caller) -> None:
    await alice.put(f"/api/videos/{sample()['job_id']}", sample())
    given = sorted(sample()["segments"], key=lambda each: each["start_time"])
    for module in ("scenes", "transcription", "none", ""):
        expected = [each for each in given if each["module"] == module]
        assert await segments(alice, sample()["job_id"], f"?module={module}") == expected


async def test_put_video_creates_and_then_replaces_everything(service: Service) -> None:
    alice = service.alice
    everything = {
        "project_id": "p1",
        "file_size": 9,
        "processing_time": 3.5,
        "storage_path": "/data/x",
        "selected_insights": '["faces"]',
    }
    first = await alice.put("/api/videos/job-1", export(segments=[segment(0, 1)], **everything))
    assert first.json == first.json | everything
    await service.advance(60)
    second = await alice.put("/api/videos/job-1", {"name": "Other", "status": "failed"})
    assert (first.status, second.status) == (201, 200)
    assert second.json == first.json | {
        "name": "Other",
        "status": "failed",
        "selected_insights": "[]",
        "duration": None,
        "project_id": None,
        "file_size": None,
        "processing_time": None,
        "storage_path": None,
        "updated_at": "2025-01-15T10:01:00",
    }
    assert await segments(alice) == []
    assert (await alice.get("/api/videos/job-1")).json == second.json


async def test_put_video_answers_as_it_is_read_later(alice: Caller) -> None:
    put = await alice.put("/api/videos/job-1", export(duration=100, processing_time=7))
    assert b'"duration":100.0,' in put.body
    assert b'"processing_time":7.0,' in put.body
    assert (await alice.get("/api/videos/job-1")).body == put.body


async def test_put_video_keeps_100_000_segments(alice: Caller) -> None:
    await alice.put_video(segments=[segment(n, n, content=str(n)) for n in range(100_000)])
    contents = [each["content"] for each in await segments(alice)]
    assert contents == [str(n) for n in range(100_000)]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, '["scenes","faces"]'),
        ({"selected_insights": None}, '["scenes","faces"]'),
        ({"selected_insights": ["ocr"]}, '["ocr"]'),
        ({"selected_insights": []}, "[]"),
        ({"selected_insights": '["ocr", "x"]'}, '["ocr", "x"]'),
    ],
)
async def test_selected_insights_are_as_given_or_else_the_modules(
    alice: Caller, given: dict[str, Any], kept: str
) -> None:
    found = [segment(1, 2, "faces"), segment(0, 1, "scenes"), segment(2, 3, "faces")]
    assert (await alice.put_video(segments=found, **given))["selected_insights"] == kept


async def test_metadata_of_any_shape_comes_back_unchanged(alice: Caller) -> None:
    shapes: list[Any] = [
        None,
        True,
        1,
        0.1,
        1e300,
        123456789012345678901234567890,
        "text «ü» 🎬",
        [1, [2, {"x": None}]],
        {"a": {"b": {"c": [1.5, "x"]}}, "": "", "ключ": "значение"},
    ]
    await alice.put_video(
        segments=[segment(n, n, metadata=shape) for n, shape in enumerate(shapes)]
    )
    assert [each["metadata"] for each in await segments(alice)] == shapes
    assert [each["metadata"] for each in await segments(alice, query="?module=scenes")] == shapes


async def test_segments_are_ordered_by_start_and_else_as_given(alice: Caller) -> None:
    await alice.put_video(
        segments=[
            segment(2, 3, content="c"),
            segment(1, 9, content="a"),
            segment(1, 2, content="b"),
            segment(10, 11, content="d"),
        ]
    )
    assert [each["content"] for each in await segments(alice)] == ["a", "b", "c", "d"]


async def test_segment_fields_that_are_left_out_get_defaults(alice: Caller) -> None:
    await alice.put_video(segments=[{"module": "m", "start_time": 0, "end_time": 1}])
    assert await segments(alice) == [
        {
            "id": "1",
            "job_id": "job-1",
            "module": "m",
            "content": "",
            "start_time": 0.0,
            "end_time": 1.0,
            "metadata": None,
            "created_at": START,
        }
    ]


async def test_put_video_ignores_unknown_and_repeated_fields(alice: Caller) -> None:
    answer = await alice.put(
        "/api/videos/job-1",
        export(
            name="not this one",
            segments=[segment(0, 1, id=7, confidence=0.5)],
            scenes=[segment(5, 6)],
            frames={"any": ["thing"]},
        ),
    )
    assert answer.json["name"] == "Product Demo"
    assert [each["id"] for each in await segments(alice)] == ["7"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"status": "done"}, "status"),
        ({"status": None}, "status"),
        ({"video_name": None}, "video_name"),
        ({"video_name": ""}, "video_name"),
        ({"video_name": "x" * 1001}, "video_name"),
        ({"duration": -0.1}, "duration"),
        ({"duration": "120"}, "duration"),
        ({"processing_time": -1}, "processing_time"),
        ({"file_size": -1}, "file_size"),
        ({"file_size": 2**63}, "file_size"),
        ({"job_id": "another"}, "job_id"),
        ({"segments": {}}, "segments"),
        ({"segments": [segment(0, 1), segment(2, 1)]}, "Segment 1: `end_time`"),
        ({"segments": [segment(-1, 1)]}, "start_time"),
        ({"segments": [segment(0, 1, module="")]}, "module"),
        ({"segments": [segment(0, 1, created_at="yesterday")]}, "created_at"),
        ({"segments": [{"module": "m", "start_time": 0}]}, "end_time"),
        ({"segments": [None]}, "Segment 0"),
        ({"segments": [segment(0, 0)] * 100_001}, "100000"),
    ],
)
async def test_put_video_rejects_an_invalid_export_whole(
    alice: Caller, fields: dict[str, Any], named: str
) -> None:
    await alice.put_video(segments=[segment(0, 1)])
    before = await alice.get("/api/videos/job-1"), await segments(alice)
    answer = await alice.put("/api/videos/job-1", export(**fields))
    assert is_problem(answer, 422, "invalid-request")
    assert named in answer.json["detail"]
    after = await alice.get("/api/videos/job-1"), await segments(alice)
    assert (before[0].body, before[1]) == (after[0].body, after[1])


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity"])
async def test_put_video_rejects_times_that_are_not_finite(alice: Caller, number: str) -> None:
    for body in (
        f'{{"name": "x", "duration": {number}}}',
        f'{{"name": "x", "segments": [{{"module": "m", "start_time": 0, "end_time": {number}}}]}}',
    ):
        answer = await alice.put("/api/videos/job-1", body.encode())
        assert answer.status in {400, 422}
    assert (await alice.get("/api/videos")).json == []


@pytest.mark.parametrize("job_id", ["x", "x" * 200, "a b", "ü/é", "100%", "..", "🎬", "a?b#c"])
async def test_job_id_may_be_any_printable_text(alice: Caller, job_id: str) -> None:
    path = f"/api/videos/{quote(job_id, safe='')}"
    if job_id == "..":
        path = "/api/videos/%2E%2E%20"
        job_id = ".. "
    answer = await alice.put(path, export(segments=[segment(0, 1)]))
    assert answer.status == 201
    assert answer.json["job_id"] == job_id
    assert (await alice.get(path)).json["job_id"] == job_id
    report = await alice.share(job_id)
    assert (await alice.get(f"{path}/shared-reports")).json == [report]
    assert (await alice.get(f"{path}/segments")).json[0]["job_id"] == job_id
    assert (await alice.delete(path)).json == {"ok": True}


@pytest.mark.parametrize("job_id", ["x" * 201, "%00", "a%0Ab", "%7F"])
async def test_job_id_that_is_long_or_not_printable_is_rejected(alice: Caller, job_id: str) -> None:
    answer = await alice.put(f"/api/videos/{job_id}", export())
    assert is_problem(answer, 422, "invalid-request")


async def test_video_list_is_filtered_by_status_and_project(alice: Caller) -> None:
    await alice.put_video("a", status="queued", project_id="p1")
    await alice.put_video("b", status="completed", project_id="p1")
    await alice.put_video("c", status="completed")

    async def listed(query: str) -> list[str]:
        return [each["job_id"] for each in (await alice.get(f"/api/videos{query}")).json]

    assert await listed("") == ["c", "b", "a"]
    assert await listed("?status=completed") == ["c", "b"]
    assert await listed("?project_id=p1") == ["b", "a"]
    assert await listed("?status=completed&project_id=p1") == ["b"]
    assert await listed("?project_id=p2") == []
    answer = await alice.get("/api/videos?status=done")
    assert is_problem(answer, 422, "invalid-request")


async def test_delete_video_ends_its_links_at_once(alice: Caller, public: Caller) -> None:
    await alice.put_video(segments=[segment(0, 1)])
    path = f"/api/shared-reports/{(await alice.share())['share_hash']}"
    assert (await alice.delete("/api/videos/job-1")).json == {"ok": True}
    assert (await public.get(path)).status == 404
    assert (await public.get(f"{path}/segments")).status == 404
    for gone in ("", "/segments", "/shared-reports"):
        assert (await alice.get(f"/api/videos/job-1{gone}")).status == 404
    assert (await alice.delete("/api/videos/job-1")).status == 404
    await alice.put_video()  # a new video of the old name has none of the old links
    assert (await public.get(path)).status == 404
    assert (await alice.get("/api/videos/job-1/shared-reports")).json == []


async def test_job_id_belongs_to_one_user(alice: Caller, bob: Caller) -> None:
    hers = await alice.put_video("job-1", video_name="Hers")
    his = await bob.put("/api/videos/job-1", export(video_name="His"))
    assert his.status == 201
    assert his.json["id"] != hers["id"]
    assert (await alice.get("/api/videos/job-1")).json == hers
    await bob.delete("/api/videos/job-1")
    assert (await alice.get("/api/videos/job-1")).json == hers


@pytest.mark.parametrize("status", ["uploaded", "queued", "processing", "completed", "failed"])
async def test_video_of_every_status_can_be_shared(
    alice: Caller, public: Caller, status: str
) -> None:
    await alice.put("/api/videos/job-1", {"name": "x", "status": status})
    share_hash = (await alice.share())["share_hash"]
    answer = await public.get(f"/api/shared-reports/{share_hash}")
    assert answer.json["video"]["status"] == status
    assert answer.json["video"]["duration"] is None
