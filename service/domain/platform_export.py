"""The platform's export of a job, read into an Analysis.

An export holds the video's fields, the flat ``segments``, and each module's segments once more
under the module's name. Exports grow, so unknown fields are skipped.

An export of 32 MiB is read in steps of about 1 ms: the fields are found by JsonScanner, and the
segments are checked, decoded and encoded one by one. Their values exist only meanwhile, so memory
grows with the bytes of an export, not with the number of its values.
"""

import heapq
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from service.domain import clock
from service.domain.decoding import check_text, decode_part
from service.domain.errors import InvalidError
from service.domain.export_bounds import (
    CONTENT_MAX,
    SEGMENT_BYTES_MAX,
    SEGMENT_ID_MAX,
    check_metadata,
    check_module_count,
    check_module_names,
    check_visible,
)
from service.domain.json_scanner import WINDOW, JsonScanner, Span, malformed
from service.domain.videos import (
    JOB_ID_MAX,
    Analysis,
    FileSize,
    JobId,
    Name,
    Seconds,
    Segment,
    VideoStatus,
)

SEGMENTS_MAX = 100_000
_SORTED_AT_ONCE = 10_000  # segments, about 2 ms
_FIELDS_MAX = 1_000
_FIELD_BYTES_MAX = 256 * 2**10
_NAME_BYTES_MAX = 1_000  # of a field's name; a longer one is not known
_CONTAINERS_MAX = 2_000_000  # arrays and objects of an export: each takes a step
_Text = Annotated[str, Meta(max_length=1_000)]


class ExportedSegment(msgspec.Struct, frozen=True):
    """A segment as the platform exports it."""

    module: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            description="The module that found it.",
            examples=["scenes"],
        ),
    ]
    start_time: Seconds
    end_time: Annotated[Seconds, Meta(description="Seconds; not before `start_time`.")]
    content: Annotated[str, Meta(max_length=CONTENT_MAX, description="What was found.")] = ""
    metadata: Annotated[
        Any,
        Meta(
            description="Whatever the module adds: any JSON of at most 1 MiB, 10000 values, and a "
            "depth of 32."
        ),
    ] = None
    id: Annotated[
        str | int | None,
        Meta(description="Its number among the segments of its module if left out."),
    ] = None
    created_at: Annotated[
        str | None, Meta(description="ISO 8601; the time of the call if left out.")
    ] = None

    def __post_init__(self) -> None:
        """Reject a segment that ends before it starts."""
        if self.end_time < self.start_time:
            raise ValueError("`end_time` is before `start_time`")


_RawSegment = Annotated[
    msgspec.Raw,
    Meta(extra_json_schema={"$ref": f"#/components/schemas/{ExportedSegment.__name__}"}),
]


class _SegmentMetadata(msgspec.Struct):
    metadata: msgspec.Raw = msgspec.Raw(b"null")


class Export(msgspec.Struct, frozen=True):
    """A job as the platform exports it. One of ``video_name`` and ``name`` must be there."""

    job_id: Annotated[
        JobId | None, Meta(description="The job's id; where it is given, the path's.")
    ] = None
    video_name: Name | None = None
    name: Annotated[Name | None, Meta(description="Stands in where there is no `video_name`.")] = (
        None
    )
    status: VideoStatus = "completed"
    duration: Seconds | None = None
    processing_time: Seconds | None = None
    project_id: Annotated[_Text | None, Meta(description="The platform's project.")] = None
    file_size: FileSize | None = None
    storage_path: Annotated[
        _Text | None, Meta(description="Where the platform keeps the video.")
    ] = None
    selected_insights: Annotated[
        _Text | tuple[Annotated[str, Meta(max_length=200)], ...] | None,
        Meta(description="The modules that were asked for; those with segments if left out."),
    ] = None
    # Described here, and read apart from the other fields.
    segments: Annotated[
        tuple[_RawSegment, ...],
        Meta(max_length=SEGMENTS_MAX, description="The whole analysis, in any order."),
    ] = ()


_KNOWN_FIELDS = frozenset(Export.__struct_fields__)
_Encoded = tuple[float, str, bytes]
"""A segment: its start time, its module, and its JSON."""


def read_export(body: bytes, now: str, job_id: str | None = None) -> Analysis:
    """Read an export of the job ``job_id``, or of the job that it names itself.

    ``now`` dates the segments that have no date. Takes all of the export or nothing. Raises
    MalformedError, and InvalidError with the number of the segment and the name of the field.
    """
    check_text(body)
    fields, spans = _divide(body)
    export = decode_part(fields, Export)
    if job_id is not None and export.job_id not in {None, job_id}:
        raise InvalidError("`job_id` in the body is not the one in the path.")
    job_id = job_id or export.job_id
    if job_id is None:
        raise InvalidError("Object missing required field `job_id`.")
    if not 0 < len(job_id) <= JOB_ID_MAX or not job_id.isprintable():
        raise InvalidError(f"`job_id` is 1 to {JOB_ID_MAX} printable characters.")
    name = export.video_name or export.name
    if name is None:
        raise InvalidError("Object missing required field `video_name`.")
    check_visible("video_name" if export.video_name else "name", name)
    segments = list(_sorted(_segments(body, spans, job_id, now)))
    modules = tuple(dict.fromkeys(module for _, module, _ in segments))
    check_module_names("segments", modules)
    return Analysis(
        job_id=job_id,
        project_id=export.project_id,
        name=name,
        status=export.status,
        selected_insights=_insights(export.selected_insights, modules),
        duration=export.duration,
        file_size=export.file_size,
        processing_time=export.processing_time,
        storage_path=export.storage_path,
        modules=modules,
        segments=b"[%b]" % b",".join(encoded for _, _, encoded in segments),
    )


def _divide(body: bytes) -> tuple[bytes, list[Span]]:
    """The known fields but for the segments, as an object, and where the segments stand."""
    scanner = JsonScanner(body, _CONTAINERS_MAX)
    if scanner.peek() != b"{"[0]:
        return body[:WINDOW], []  # msgspec says what is wrong with it
    fields: list[bytes] = []
    spans: list[Span] = []
    for number, (start, end) in enumerate(scanner.members()):
        if number == _FIELDS_MAX:
            raise InvalidError(f"The export has more than {_FIELDS_MAX} fields.")
        name = decode_part(body[start:end], str) if end - start <= _NAME_BYTES_MAX else ""
        if name == "segments" and scanner.peek() == b"["[0]:
            spans = _segment_spans(scanner)
        elif name in _KNOWN_FIELDS:
            value = scanner.value(_FIELD_BYTES_MAX)
            if value is None:
                raise InvalidError(f"`{name}` has more than {_FIELD_BYTES_MAX} bytes.")
            fields.append(body[start:end] + b":" + body[slice(*value)])
        else:
            _skip(scanner)
    if scanner.peek() != -1:
        raise malformed()
    return b"{%b}" % b",".join(fields), spans


def _segment_spans(scanner: JsonScanner) -> list[Span]:
    spans: list[Span] = []
    for span in scanner.elements(SEGMENT_BYTES_MAX):
        if span is None:
            raise InvalidError(f"Segment {len(spans)}: It has more than {SEGMENT_BYTES_MAX} bytes.")
        if len(spans) == SEGMENTS_MAX:
            raise InvalidError(f"Expected `array` of length <= {SEGMENTS_MAX} - at `$.segments`.")
        spans.append(span)
    return spans


def _skip(scanner: JsonScanner) -> None:
    """Skip an unknown field.

    Its brackets must pair. All of its grammar is checked if it is small: a check of 32 MiB would
    be a single call of 30 ms.
    """
    if (span := scanner.value()) and span[1] - span[0] <= WINDOW:
        decode_part(scanner.body[slice(*span)], msgspec.Raw)


def _segments(body: bytes, spans: Iterable[Span], job_id: str, now: str) -> Iterator[_Encoded]:
    counts: dict[str, int] = {}
    for number, (start, end) in enumerate(spans):
        raw = body[start:end]
        try:
            check_metadata(bytes(decode_part(raw, _SegmentMetadata).metadata))
            exported = decode_part(raw, ExportedSegment)
            count = counts[exported.module] = counts.get(exported.module, 0) + 1
            if count == 1:
                check_visible("module", exported.module)
                check_module_count(len(counts))
            segment = _segment(exported, job_id, str(count), now)
        except InvalidError as error:
            raise InvalidError(f"Segment {number}: {error.detail}") from error
        yield segment.start_time, segment.module, msgspec.json.encode(segment)


def _segment(exported: ExportedSegment, job_id: str, number: str, now: str) -> Segment:
    """The segment as it is stored.

    Its default id is its number within its module, so the ids that a link shows of some modules
    say nothing of the others.
    """
    try:
        created_at = clock.parse(exported.created_at) if exported.created_at else now
    except ValueError as error:
        raise InvalidError("`created_at` is not an ISO 8601 date-time.") from error
    given_id = number if exported.id is None else str(exported.id)
    if len(given_id) > SEGMENT_ID_MAX:
        raise InvalidError(f"`id` has more than {SEGMENT_ID_MAX} characters.")
    return Segment(
        id=given_id,
        job_id=job_id,
        module=exported.module,
        content=exported.content,
        start_time=exported.start_time,
        end_time=exported.end_time,
        metadata=exported.metadata,
        created_at=created_at,
    )


def _sorted(segments: Iterator[_Encoded]) -> Iterator[_Encoded]:
    """The segments by start time, those of one time as given. No single sort takes over 2 ms."""
    runs: list[list[_Encoded]] = []
    for number, segment in enumerate(segments):
        if number % _SORTED_AT_ONCE == 0:
            runs.append([])
        runs[-1].append(segment)
    start_time = itemgetter(0)
    return heapq.merge(*(sorted(run, key=start_time) for run in runs), key=start_time)


def _insights(given: str | tuple[str, ...] | None, modules: tuple[str, ...]) -> str:
    if isinstance(given, str):
        return given
    names = modules if given is None else given
    check_module_names("selected_insights", names)
    return msgspec.json.encode(names).decode()
