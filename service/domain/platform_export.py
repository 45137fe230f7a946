"""The platform's export of a job, read into an Analysis.

An export holds the video's fields, the flat ``segments``, and each module's segments once more
under the module's name. A module that ``segments`` has nothing of is read from its own list.
Exports grow, so unknown fields are skipped; their names are kept for the caller.

An export of 32 MiB is read in steps of about 1 ms: the fields are found by JsonScanner, and the
segments are checked, decoded and encoded one by one. Their values exist only meanwhile, so memory
grows with the bytes of an export, not with the number of its values.
"""

import heapq
import re
from collections.abc import Iterator
from functools import lru_cache, partial
from operator import itemgetter
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from service.domain import clock
from service.domain.decoding import blank_mark, check_text, decode_part
from service.domain.errors import InvalidError
from service.domain.export_bounds import (
    CONTENT_MAX,
    INSIGHTS_BYTES_MAX,
    METADATA_BYTES_MAX,
    SEGMENT_ID_MAX,
    SEGMENTS_MAX,
    check_metadata,
    check_module_count,
    check_module_names,
    check_visible,
)
from service.domain.export_structure import ExportParts, divide, element_spans, known_members
from service.domain.json_errors import inert
from service.domain.json_scanner import WINDOW, JsonScanner, Span
from service.domain.links import MODULE_NAME_MAX
from service.domain.normal_form import bounded_nfc, nfc
from service.domain.piece_writer import drained, json_array
from service.domain.videos import (
    JOB_ID_MAX,
    NAME_MAX,
    Analysis,
    FileSize,
    JobId,
    Name,
    Seconds,
    Segment,
    VideoStatus,
)

_SORTED_AT_ONCE = 10_000  # segments, about 2 ms
_UNKNOWN_FIELDS_MAX = 1_000  # segments with unknown fields that are named
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*?)`?\.", re.DOTALL)
_DOT_SEGMENTS = {".", ".."}
_TEXT_MAX = 1_000
_Text = Annotated[str, Meta(max_length=_TEXT_MAX)]


_ModuleName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MODULE_NAME_MAX,
        description="The module that found it.",
        examples=["scenes"],
    ),
]


class ExportedSegment(msgspec.Struct, frozen=True):
    """A segment as the platform exports it."""

    module: _ModuleName
    start_time: Seconds
    end_time: Annotated[Seconds, Meta(description="Seconds; not before `start_time`.")]
    content: Annotated[str, Meta(max_length=CONTENT_MAX, description="The finding as text.")] = ""
    metadata: Annotated[
        Any,
        Meta(
            description="Additional data of the module: any JSON of at most 1 MiB, 10000 values, "
            "and a"
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


class _GivenSegment(ExportedSegment, frozen=True, kw_only=True):
    """A segment with any fields. Its module may be that of the list in which it stands.

    What may be any JSON stays JSON: a member may stand twice, and only its last value is checked.
    """

    module: _ModuleName = ""
    metadata: msgspec.Raw = msgspec.Raw(b"null")
    job_id: msgspec.Raw = msgspec.Raw(b"null")  # the platform's; the video's job id counts


class _KnownSegment(_GivenSegment, frozen=True, forbid_unknown_fields=True):
    """The same, with known fields only."""


_SEGMENT_FIELDS = frozenset(_KnownSegment.__struct_fields__)
_RawSegment = Annotated[
    msgspec.Raw,
    Meta(extra_json_schema={"$ref": f"#/components/schemas/{ExportedSegment.__name__}"}),
]


class _Metadata(msgspec.Struct):
    metadata: Any


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
        Meta(
            description="The modules that were asked for, in at most 24000 bytes; those with "
            "segments if left out."
        ),
    ] = None
    # Described here, and read apart from the other fields.
    segments: Annotated[
        tuple[_RawSegment, ...],
        Meta(max_length=SEGMENTS_MAX, description="The whole analysis, in any order."),
    ] = ()


_parse_moment = lru_cache(256)(clock.parse)
_KNOWN_FIELDS = frozenset(Export.__struct_fields__)
_Encoded = tuple[float, str, bytes]
"""A segment: its start time, its module, and its JSON."""


def read_export(body: bytes, now: str, job_id: str | None = None) -> Analysis:
    """Read an export of the job ``job_id``, or of the job that it names itself.

    ``now`` dates the segments that have no date. Takes all of the export or nothing. Raises
    MalformedError with the position in bytes, and InvalidError with the number of the segment and
    the name of the field.
    """
    body = blank_mark(body)
    check_text(body)
    parts = divide(body, _KNOWN_FIELDS)
    export = decode_part(parts.fields, (0, len(parts.fields)), Export)
    if job_id is not None and export.job_id not in {None, job_id}:
        raise InvalidError("`job_id` in the body is not the one in the path.")
    job_id = job_id or export.job_id
    if job_id is None:
        raise InvalidError("Object missing required field `job_id`.")
    if not 0 < len(job_id) <= JOB_ID_MAX or not job_id.isprintable():
        raise InvalidError(f"`job_id` is 1 to {JOB_ID_MAX} printable characters.")
    if job_id in _DOT_SEGMENTS:
        raise InvalidError("`job_id` can be no part of an address: it is `.` or `..`.")
    name = export.video_name or export.name
    if name is None:
        raise InvalidError("Object missing required field `video_name`.")
    field = "video_name" if export.video_name else "name"
    check_visible(field, name)
    reader = _SegmentReader(body, parts, job_id, now)
    segments = list(_sorted(reader.read_all()))
    modules = tuple(dict.fromkeys(module for _, module, _ in segments))
    check_module_names("segments", modules)
    return Analysis(
        job_id=job_id,
        project_id=_project_id(export.project_id),
        name=bounded_nfc(field, name, NAME_MAX),
        status=export.status,
        selected_insights=_insights(export.selected_insights, modules),
        duration=export.duration,
        file_size=export.file_size,
        processing_time=export.processing_time,
        storage_path=export.storage_path,
        modules=modules,
        segments=json_array(encoded for _, _, encoded in drained(segments)),
        ignored_fields=tuple(parts.ignored),
    )


class _SegmentReader:
    """Reads the segments of an export, one by one."""

    def __init__(self, body: bytes, parts: ExportParts, job_id: str, now: str) -> None:
        self._body = body
        self._parts = parts
        self._job_id = job_id
        self._now = now
        self._counts: dict[str, int] = {}
        self._unknown_left = _UNKNOWN_FIELDS_MAX

    def read_all(self) -> Iterator[_Encoded]:
        """The flat segments, then those of each module that the flat segments have nothing of."""
        count = len(self._parts.segments)
        for number, span in enumerate(drained(self._parts.segments)):
            yield self._read(f"Segment {number}", span, "")
        in_flat_list = frozenset(self._counts)
        for module, (start, _) in self._parts.module_lists.items():
            if nfc(module) in in_flat_list:
                continue
            first = count
            scanner = JsonScanner(self._body)
            scanner.position = start
            for number, span in enumerate(element_spans(scanner, module, count)):
                yield self._read(f"Segment {number} of `{inert(module)}`", span, module)
                count = first + number + 1

    def _read(self, place: str, span: Span, module: str) -> _Encoded:
        """Read a segment of the list ``module``, or of the flat list if that is empty."""
        body = self._body
        try:
            if span[1] - span[0] > METADATA_BYTES_MAX:
                body = known_members(body, span, _SEGMENT_FIELDS, partial(self._ignore, module))
                span = (0, len(body))
            given = self._decode(body, span, module)
            name = _module_of(given, module)
            count = self._counts[name] = self._counts.get(name, 0) + 1
            if count == 1:
                check_visible("module", name)
                check_module_count(len(self._counts))
            segment = self._segment(given, name, str(count))
        except InvalidError as error:
            raise InvalidError(f"{place}: {error.detail}") from error
        return segment.start_time, name, msgspec.json.encode(segment)

    def _decode(self, body: bytes, span: Span, module: str) -> _GivenSegment:
        """Decode a segment, and note the names of its unknown fields."""
        if self._unknown_left:
            try:
                return decode_part(body, span, _KnownSegment)
            except InvalidError as error:
                if (match := _UNKNOWN_FIELD.fullmatch(error.detail)) is None:
                    raise
                names = {match[1]}
            self._unknown_left -= 1
            if span[1] - span[0] <= WINDOW:
                names |= decode_part(body, span, dict[str, msgspec.Raw]).keys()
            for name in sorted(names - _SEGMENT_FIELDS):
                self._ignore(module, name)
        return decode_part(body, span, _GivenSegment)

    def _ignore(self, module: str, name: str) -> None:
        if not self._parts.ignore(f"{module or 'segments'}.{name}"):
            self._unknown_left = 0

    def _segment(self, given: _GivenSegment, module: str, number: str) -> Segment:
        """The segment as it is stored.

        Its default id is its number within its module, so the ids that a link shows of some
        modules say nothing of the others.
        """
        try:
            created_at = _parse_moment(given.created_at) if given.created_at else self._now
        except ValueError as error:
            raise InvalidError("`created_at` is not an ISO 8601 date-time.") from error
        segment_id = number if given.id is None else str(given.id)
        if len(segment_id) > SEGMENT_ID_MAX:
            raise InvalidError(f"`id` has more than {SEGMENT_ID_MAX} characters.")
        return Segment(
            id=segment_id,
            job_id=self._job_id,
            module=module,
            content=given.content,
            start_time=given.start_time,
            end_time=given.end_time,
            metadata=_metadata_of(given),
            created_at=created_at,
        )


def _module_of(segment: _GivenSegment, module: str) -> str:
    """The module of a segment in the list of ``module``, or in the flat list if that is empty."""
    if not (name := segment.module or module):
        raise InvalidError("Object missing required field `module`.")
    name = bounded_nfc("module", name, MODULE_NAME_MAX)
    if module and name != nfc(module):
        raise InvalidError("`module` is not the name that its list stands under.")
    return name


def _project_id(given: str | None) -> str | None:
    return given and bounded_nfc("project_id", given, _TEXT_MAX)


def _metadata_of(segment: _GivenSegment) -> Any:  # noqa: ANN401 - JSON of any type
    """The metadata of a segment, decoded once it is checked."""
    raw = bytes(segment.metadata)
    if raw == b"null":
        return None
    check_metadata(raw)
    member = b'{"metadata":%b}' % raw  # an error has the field's name
    return decode_part(member, (0, len(member)), _Metadata).metadata


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
    text = msgspec.json.encode(names).decode()
    if len(msgspec.json.encode(text)) > INSIGHTS_BYTES_MAX:
        field = "segments" if given is None else "selected_insights"
        raise InvalidError(
            f"`{field}` has module names of more than {INSIGHTS_BYTES_MAX} bytes of JSON."
        )
    return text
