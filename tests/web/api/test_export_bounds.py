"""Bounds on what is put: each is named with its place, and what is within it is taken."""

import json
from typing import Any

import pytest
from support.harness import Caller, Service, export, is_problem, sample, segment

from service.domain.export_bounds import (
    CONTENT_MAX,
    METADATA_BYTES_MAX,
    METADATA_DEPTH_MAX,
    METADATA_VALUES_MAX,
    MODULES_MAX,
    SEGMENT_BYTES_MAX,
)


def nested(depth: int, *, strings: bool = False) -> Any:
    value: Any = "[[{" * 40 if strings else []
    for level in range(depth if strings else depth - 1):
        value = [value] if level % 2 else {"in": value}
    return value


def with_metadata(metadata: Any) -> dict[str, Any]:
    return {"segments": [segment(0, 1), segment(1, 2, metadata=metadata)]}


@pytest.mark.parametrize(
    ("fields", "bound", "where"),
    [
        (
            {"segments": [segment(0, 1, f"m{n}") for n in range(MODULES_MAX + 1)]},
            MODULES_MAX,
            "Segment 500: `module`",
        ),
        (
            {"segments": [segment(0, 1, f"{n:0200}") for n in range(101)]},
            20_000,
            "`segments`",
        ),
        (
            with_metadata(nested(METADATA_DEPTH_MAX + 1)),
            METADATA_DEPTH_MAX,
            "Segment 1: `metadata`",
        ),
        (
            with_metadata([0] * METADATA_VALUES_MAX),
            METADATA_VALUES_MAX,
            "Segment 1: `metadata`",
        ),
        (
            with_metadata({f"k{n}": [] for n in range(METADATA_VALUES_MAX)}),
            METADATA_VALUES_MAX,
            "Segment 1: `metadata`",
        ),
        (with_metadata("x" * METADATA_BYTES_MAX), METADATA_BYTES_MAX, "Segment 1: `metadata`"),
        (
            {"segments": [segment(0, 1, content="x" * (CONTENT_MAX + 1))]},
            CONTENT_MAX,
            "Segment 0: Expected `str` of length <= 1048576 - at `$.content`",
        ),
        (
            {"segments": [segment(0, 1) | {"junk": "x" * SEGMENT_BYTES_MAX}]},
            SEGMENT_BYTES_MAX,
            "Segment 0",
        ),
        ({"segments": [segment(0, 1, id="x" * 201)]}, 200, "Segment 0: `id`"),
        ({"selected_insights": ["x"] * (MODULES_MAX + 1)}, MODULES_MAX, "`selected_insights`"),
        ({"selected_insights": ["x" * 201]}, 200, "selected_insights"),
        ({"selected_insights": ["x" * 200] * 101}, 20_000, "`selected_insights`"),
        ({"selected_insights": ["\1" * 100] * 35}, 24_000, "`selected_insights`"),
        (
            {"segments": [segment(0, 1, "\1" * 97 + f"{n}") for n in range(36)]},
            24_000,
            "`segments`",
        ),
        ({"selected_insights": ["x" * 2**20] * 2}, 2**18, "`selected_insights`"),
        ({f"field-{n}": n for n in range(1_001)}, 1_000, "fields"),
    ],
)
async def test_put_video_names_the_bound_and_the_place(
    alice: Caller, fields: dict[str, Any], bound: int, where: str
) -> None:
    answer = await alice.put("/api/videos/job-1", export(**fields))
    assert is_problem(answer, 422, "invalid-request")
    assert str(bound) in answer.json["detail"]
    assert where in answer.json["detail"]
    assert (await alice.get("/api/videos")).json == []


@pytest.mark.parametrize("depth", [33, 960, 100_000])
async def test_put_video_bounds_the_depth_of_metadata(alice: Caller, depth: int) -> None:
    metadata = b"[" * depth + b"]" * depth
    segment = b'{"module":"m","start_time":0,"end_time":1,"metadata":%b}' % metadata
    answer = await alice.put("/api/videos/job-1", b'{"name":"x","segments":[%b]}' % segment)
    if depth == 100_000:  # msgspec itself goes no deeper
        assert is_problem(answer, 400, "malformed-request")
    else:
        assert is_problem(answer, 422, "invalid-request")
        assert answer.json["detail"] == "Segment 0: `metadata` is nested more than 32 deep."


async def test_page_of_videos_has_bounded_bytes(alice: Caller) -> None:
    """A name is escaped twice: as JSON in the column, and as a text of the answer."""
    for names in (["\1" * 100] * 34, ["\\" * 100] * 59, ["x" * 199] * 100):
        await alice.put_video(selected_insights=names)
        answer = await alice.get("/api/videos?limit=1")
        assert json.loads(answer.json[0]["selected_insights"]) == names
        assert 20_000 < len(answer.body) < 25_000
        one_more = export(selected_insights=[*names, names[0]])
        assert (await alice.put("/api/videos/job-1", one_more)).status == 422


async def test_put_video_takes_all_that_is_within_the_bounds(alice: Caller) -> None:
    metadata = [
        nested(METADATA_DEPTH_MAX),
        [nested(2, strings=True)] * 30,
        [0] * (METADATA_VALUES_MAX - 1),
        [[]] * (METADATA_VALUES_MAX - 1),
        {f'[{{,\\" {n}': '"[{,\\' * 5 for n in range(METADATA_VALUES_MAX - 1)},
        "x" * (METADATA_BYTES_MAX - 2),
    ]
    segments = [segment(n, n, f"m{n}", metadata=each) for n, each in enumerate(metadata)]
    segments += [segment(n, n, f"m{n}") for n in range(len(metadata), MODULES_MAX)]
    segments.append(segment(500, 500, "m0", content="ü" * CONTENT_MAX))
    await alice.put_video(segments=segments, selected_insights=["x" * 40] * MODULES_MAX)
    stored = (await alice.get("/api/videos/job-1/segments")).json
    assert [each["metadata"] for each in stored[: len(metadata)]] == metadata
    assert stored[-1]["content"] == "ü" * CONTENT_MAX


@pytest.mark.parametrize("name", [" ", "\u200b", "\u3164", "\t\n\u2060\ufeff", "\u00a0\u3000"])
async def test_put_video_rejects_names_that_show_nothing(alice: Caller, name: str) -> None:
    for fields, field in (
        ({"video_name": name}, "video_name"),
        ({"video_name": None, "name": name}, "name"),
        ({"segments": [segment(0, 1, name)]}, "module"),
    ):
        answer = await alice.put("/api/videos/job-1", export(**fields))
        assert is_problem(answer, 422, "invalid-request")
        assert f"`{field}`" in answer.json["detail"]
    for visible in ("\u200bx", "🎬", "會", "-"):
        assert (await alice.put_video(video_name=visible))["name"] == visible


async def test_put_video_reads_its_fields_in_any_order_and_spelling(alice: Caller) -> None:
    body = (
        b' {"segments": [ {"module":"old","start_time":0,"end_time":1} ],\n"\\u0073egments" : ['
        b'\t{"module":"m", "start_time":0,"end_time":1}\n], "extra": [{"a": ["b", null]}, -1.5e3],'
        b'"name":"first","name":"last","job_id":"job-1"} '
    )
    answer = await alice.put("/api/videos/job-1", body)
    assert (answer.status, answer.json["name"]) == (201, "last")
    stored = (await alice.get("/api/videos/job-1/segments")).json
    assert [each["module"] for each in stored] == ["m"]


async def test_default_segment_ids_say_nothing_of_hidden_modules(service: Service) -> None:
    """They number the segments of a module; an id that was given stays."""
    modules = ["a", "b", "b", "a", "b", "c"]
    segments = [segment(9 - n, 9, module) for n, module in enumerate(modules)]
    segments[5]["id"] = "given"
    await service.alice.put_video(segments=segments)
    share_hash = (await service.alice.share(modules=["b", "c"]))["share_hash"]
    answer = await service.public.get(f"/api/shared-reports/{share_hash}/segments")
    assert [(each["module"], each["id"]) for each in answer.json] == [
        ("c", "given"),
        ("b", "3"),
        ("b", "2"),
        ("b", "1"),
    ]


async def test_samples_are_within_the_bounds(alice: Caller) -> None:
    body = json.dumps(sample()).encode()
    assert (await alice.put(f"/api/videos/{sample()['job_id']}", body)).status == 201
