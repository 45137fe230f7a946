"""Reading an export: where its segments stand, and which of its fields are passed over."""

import json
import tracemalloc
from typing import Any

import pytest
from support.harness import export, segment

from service.domain import export_structure
from service.domain.errors import InvalidError, MalformedError
from service.domain.platform_export import read_export
from service.domain.videos import Analysis

NOW = "2025-01-15T10:00:00"


def read(**fields: Any) -> Analysis:
    return read_export(json.dumps(export(**fields)).encode(), NOW, "job-1")


def contents(analysis: Analysis) -> list[tuple[str, str, str]]:
    return [
        (found["module"], found["id"], found["content"]) for found in json.loads(analysis.segments)
    ]


def bare(start: float, content: str, **fields: Any) -> dict[str, Any]:
    return {"start_time": start, "end_time": start + 1, "content": content} | fields


def test_read_export_takes_segments_under_their_module_names() -> None:
    analysis = read(
        transcription=[bare(0, "kept", module="transcription"), bare(9, "last")],
        scenes=[bare(0, "Scene 1"), bare(4, "Scene 2")],
    )
    assert contents(analysis) == [
        ("transcription", "1", "kept"),
        ("scenes", "1", "Scene 1"),
        ("scenes", "2", "Scene 2"),
        ("transcription", "2", "last"),
    ]
    assert analysis.modules == ("transcription", "scenes")
    assert json.loads(analysis.selected_insights) == ["transcription", "scenes"]
    assert analysis.ignored_fields == ()


def test_read_export_lets_segments_count_where_both_are_given() -> None:
    analysis = read(
        scenes=[bare(5, "not this one"), bare(6, "nor this one", module="scenes")],
        segments=[segment(0, 1, "scenes", content="this one")],
        faces=[bare(2, "and this one")],
        empty=[],
    )
    assert contents(analysis) == [("scenes", "1", "this one"), ("faces", "1", "and this one")]
    assert analysis.ignored_fields == ()


@pytest.mark.parametrize("fields", [{}, {"segments": []}, {"scenes": []}, {"name": []}])
def test_read_export_of_a_job_that_found_nothing(fields: dict[str, Any]) -> None:
    analysis = read(**fields)
    assert (analysis.segments, analysis.modules, analysis.status) == (b"[]", (), "completed")
    assert analysis.ignored_fields == ()


@pytest.mark.parametrize(
    "name",
    ["name", "duration", "status", "job_id", "file_size", "selected_insights", "storage_path"],
)
@pytest.mark.parametrize("repeated", [True, False])
def test_read_export_takes_a_module_named_like_a_field(name: str, *, repeated: bool) -> None:
    found = [bare(0, "found", module=name)]
    document = {"video_name": "Product Demo", name: found}
    if repeated:
        document["segments"] = found
    analysis = read_export(json.dumps(document).encode(), NOW, "job-1")
    assert contents(analysis) == [(name, "1", "found")]
    assert (analysis.name, analysis.status, analysis.duration) == (
        "Product Demo",
        "completed",
        None,
    )


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"duration": [1]}, "`$.duration`"),
        ({"name": [{"x": 1}]}, "`$.name`"),
        ({"scenes": [bare(0, ""), bare(2, "", end_time=1)]}, "Segment 1 of `scenes`: `end_time`"),
        ({"scenes": [bare(0, ""), bare(2, "", module="x")]}, "Segment 1 of `scenes`: `module`"),
        ({"scenes": [bare(0, ""), 1]}, "Segment 1 of `scenes`: Expected `object`"),
        ({"segments": [bare(0, "")]}, "Segment 0: Object missing required field `module`."),
        ({"segments": [segment(0, "x")]}, "Segment 0: Expected `float`, got `str` - at `$.end_t"),  # type: ignore[arg-type] # what is wrong
        ({"a\u202e": [bare(0, "", created_at="x")]}, "Segment 0 of `a\ufffd`: `created_at`"),
        ({f"m{n}": [bare(0, "")] for n in range(501)}, "Segment 0 of `m500`: `module`"),
    ],
)
def test_read_export_names_the_segment_that_is_wrong(fields: dict[str, Any], detail: str) -> None:
    with pytest.raises(InvalidError) as caught:
        read(**fields)
    assert detail in caught.value.detail


def test_read_export_bounds_the_segments_of_all_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_structure, "SEGMENTS_MAX", 4)
    lists = {"b": [bare(0, "")] * 2, "c": [bare(0, "")] * 2}
    assert len(contents(read(**lists))) == 4
    with pytest.raises(InvalidError, match="more than 4 segments"):
        read(segments=[segment(0, 1, "a")], **lists)


def test_read_export_names_the_fields_that_it_ignores() -> None:
    analysis = read(
        segmnets=[segment(0, 1, "scenes")],
        frames={"any": ["thing"]},
        segments=[segment(0, 1, confidence=0.5, job_id="x"), segment(0, 1, metdata=1, labl=2)],
        faces=[bare(2, "", score=1)],
        words=[{"start": 1}],
    )
    assert analysis.ignored_fields == (
        "segmnets",
        "frames",
        "words",
        "segments.confidence",
        "segments.labl",
        "segments.metdata",
        "faces.score",
    )
    assert analysis.modules == ("scenes", "faces")


def test_read_export_bounds_the_names_that_it_ignores() -> None:
    many = {f"k{n}": 1 for n in range(2_000)}
    analysis = read(
        **{"k" * 3_000: 1, "k" * 200: 1, "a\x1b[31m": 1}, segments=[segment(0, 1) | many]
    )
    assert len(analysis.ignored_fields) == 1_000
    assert analysis.ignored_fields[:2] == ("k" * 100 + "…", "a\ufffd[31m")
    assert all(name.isprintable() for name in analysis.ignored_fields)


def test_read_export_takes_segments_with_one_very_long_unknown_name() -> None:
    analysis = read(segments=[segment(0, 1) | {"x" * 70_000: 1}])
    assert len(contents(analysis)) == 1
    [name] = analysis.ignored_fields
    assert len(name) == 101


def test_read_export_takes_a_segment_of_more_than_a_mebibyte() -> None:
    content, metadata = "\u00e9" * 2**20, {"a": [1, {"b": None}]}
    large = segment(0, 1, content=content, metadata=metadata, x=[[]] * 400_000, y=1)
    analysis = read(segments=[large], faces=[large | {"module": "faces"}])
    assert [
        (found["module"], found["content"] == content, found["metadata"])
        for found in json.loads(analysis.segments)
    ] == [("scenes", True, metadata), ("faces", True, metadata)]
    assert analysis.ignored_fields == ("segments.x", "segments.y", "faces.x", "faces.y")


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"metadata": "x" * 2**20}, "Segment 0: `metadata` has more than 1048576 bytes."),
        ({"id": "x" * 2**21}, "Segment 0: `id` has more than 1048576 bytes."),
        ({"content": "x" * (2**20 + 1)}, "Segment 0: Expected `str` of length <= 1048576"),
        (dict.fromkeys(map(str, range(2_000)), "x" * 1_000), "Segment 0: It has more than 1000 fi"),
        ({"content": "x" * 2**20, "start_time": "a"}, "Segment 0: Expected `float`, got `str`"),
    ],
)
def test_read_export_bounds_a_segment_of_more_than_a_mebibyte(
    fields: dict[str, Any], detail: str
) -> None:
    with pytest.raises(InvalidError) as caught:
        read(segments=[segment(0, 1) | fields])
    assert detail in caught.value.detail


def test_read_export_says_where_a_segment_of_more_than_a_mebibyte_is_wrong() -> None:
    body = json.dumps(export(segments=[segment(0, 1, content="x" * 2**20, metadata=[1, "?"])]))
    position = body.index('"?"')
    with pytest.raises(MalformedError, match=f"at byte {position}, NaN is not a JSON number"):
        read_export(body.replace('"?"', "NaN").encode(), NOW, "job-1")


@pytest.mark.parametrize("job_id", [".", ".."])
def test_read_export_rejects_a_job_id_that_no_address_can_hold(job_id: str) -> None:
    with pytest.raises(InvalidError, match="`job_id`"):
        read_export(json.dumps(export(job_id=job_id)).encode(), NOW)


LISTS = b"[%b[]]" % (b"[]," * 340_000)  # 1 MB, 20 MiB of Python objects


@pytest.mark.parametrize("name", [b"metadata", b"job_id", b"m\\u0065tadata"])
@pytest.mark.parametrize("content", [b"x", b"x" * 100_000])
def test_read_export_builds_no_value_that_is_given_again(name: bytes, content: bytes) -> None:
    """The values that go unchecked are never built, in segments below and above 1 MiB."""
    members = b'"%b":%b,"%b":{"a":1},"content":"%b"' % (name, LISTS, name, content)
    body = b'{"name":"x","segments":[{"module":"m","start_time":0,"end_time":1,%b}]}' % members
    tracemalloc.start()
    try:
        [found] = json.loads(read_export(body, NOW, "job-1").segments)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found["metadata"] == (None if name == b"job_id" else {"a": 1})
    assert peak < 8 * 2**20


def test_read_export_takes_the_last_of_members_given_twice() -> None:
    large = b"x" * 2**20
    members = b'"content":"%b","metadata":[1],"content":"last","metadata":[2]' % large
    body = b'{"name":[1],"name":"last","segments":[{"module":"m","start_time":0,"end_time":1,%b}]}'
    analysis = read_export(body % members, NOW, "job-1")
    [found] = json.loads(analysis.segments)
    assert (analysis.name, found["content"], found["metadata"]) == ("last", "last", [2])


def test_read_export_bounds_the_metadata_that_counts() -> None:
    members = b'"metadata":null,"metadata":%b' % LISTS
    body = b'{"name":"x","segments":[{"module":"m","start_time":0,"end_time":1,%b}]}' % members
    with pytest.raises(InvalidError, match="Segment 0: `metadata` holds more than 10000 values"):
        read_export(body, NOW, "job-1")


def test_read_export_names_the_metadata_with_a_number_out_of_range() -> None:
    body = (
        b'{"name":"x","segments":[{"module":"m","start_time":0,"end_time":1,"metadata":[1e999]}]}'
    )
    with pytest.raises(InvalidError, match=r"Segment 0: Number out of range - at `\$\.metadata"):
        read_export(body, NOW, "job-1")
