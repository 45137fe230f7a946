"""The platform's export of a job, read into an Analysis.

An export holds the video's fields, the flat ``segments``, and each module's segments once more
under the module's name. Exports grow, so what is not known here is passed over.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from service.domain import clock
from service.domain.decoding import decode_body, decode_part
from service.domain.errors import InvalidError
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
_CHUNK = 1_000
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
    content: Annotated[str, Meta(description="What was found.")] = ""
    metadata: Annotated[Any, Meta(description="Whatever the module adds: any JSON.")] = None
    id: Annotated[str | int | None, Meta(description="Its place in the array if left out.")] = None
    created_at: Annotated[
        str | None, Meta(description="ISO 8601; the time of the call if left out.")
    ] = None

    def __post_init__(self) -> None:
        """Refuse a segment that ends before it starts."""
        if self.end_time < self.start_time:
            raise ValueError("`end_time` is before `start_time`")


_RawSegment = Annotated[
    msgspec.Raw,
    Meta(extra_json_schema={"$ref": f"#/components/schemas/{ExportedSegment.__name__}"}),
]


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
        _Text | tuple[str, ...] | None,
        Meta(description="The modules that were asked for; those with segments if left out."),
    ] = None
    # Read raw here and decoded in chunks, so that no single call holds the interpreter for long.
    segments: Annotated[
        tuple[_RawSegment, ...],
        Meta(max_length=SEGMENTS_MAX, description="The whole analysis, in any order."),
    ] = ()


def read_export(body: bytes, now: str, job_id: str | None = None) -> Analysis:
    """Read an export of the job ``job_id``, or of the job that it names itself.

    ``now`` dates the segments that have no date. Raises MalformedError or InvalidError, and
    takes all of the export or nothing.
    """
    export = decode_body(body, Export)
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
    segments = _segments(export.segments, job_id, now)
    modules = tuple(dict.fromkeys(segment.module for segment in segments))
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
        segments=_encoded(segments),
    )


def _segments(raw: tuple[msgspec.Raw, ...], job_id: str, now: str) -> list[Segment]:
    segments = []
    for place, each in enumerate(raw):
        try:
            segments.append(
                _segment(decode_part(each, ExportedSegment), job_id, str(place + 1), now)
            )
        except InvalidError as error:
            raise InvalidError(f"Segment {place}: {error.detail}") from error
    segments.sort(key=lambda segment: segment.start_time)
    return segments


def _segment(exported: ExportedSegment, job_id: str, place: str, now: str) -> Segment:
    try:
        created_at = clock.parse(exported.created_at) if exported.created_at else now
    except ValueError as error:
        raise InvalidError("`created_at` is not an ISO 8601 date-time.") from error
    return Segment(
        id=place if exported.id is None else str(exported.id),
        job_id=job_id,
        module=exported.module,
        content=exported.content,
        start_time=exported.start_time,
        end_time=exported.end_time,
        metadata=exported.metadata,
        created_at=created_at,
    )


def _encoded(segments: list[Segment]) -> bytes:
    chunks = (
        msgspec.json.encode(segments[start : start + _CHUNK])[1:-1]
        for start in range(0, len(segments), _CHUNK)
    )
    return b"[" + b",".join(chunks) + b"]"


def _insights(given: str | tuple[str, ...] | None, modules: tuple[str, ...]) -> str:
    if isinstance(given, str):
        return given
    return msgspec.json.encode(modules if given is None else given).decode()
