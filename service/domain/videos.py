"""Videos and their analysis."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from service.domain.errors import ConflictError
from service.domain.types import Id, Timestamp, UserId

JOB_ID_MAX = 200


NAME_MAX = 1_000


Status = Literal["uploaded", "queued", "processing", "completed", "failed"]


VideoStatus = Annotated[Status, Meta(description="How far the analysis is.")]


# 1e9 s are 31 years: what is longer is a mistake.
Seconds = Annotated[float, Meta(ge=0, le=1e9, description="Seconds.", examples=[120.5])]


FileSize = Annotated[int, Meta(ge=0, le=2**63 - 1, description="Bytes.", examples=[5000000])]


JobId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=JOB_ID_MAX,
        description="The video's job id: printable characters, unique to its user.",
        examples=["a1b2c3d4"],
    ),
]


Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=NAME_MAX,
        description="The video's name.",
        examples=["Product Demo"],
    ),
]


def find_video(name: str, videos: Mapping[int, str]) -> int | None:
    """Return the id of the only video with this job id or id, out of job ids by id.

    None if there is none. Raises ConflictError if there are two: nothing is shared by guess.
    """
    if len(videos) > 1:
        [by_id] = [job_id for job_id in videos.values() if job_id != name]
        [by_job_id] = [video_id for video_id, job_id in videos.items() if job_id == name]
        raise ConflictError(
            f"`{name}` is the id of the video with the job id `{by_id}`, and the job id of the "
            f"video with the id `{by_job_id}`: name the one that is meant by `{by_id}` or "
            f"`{by_job_id}`."
        )
    return next(iter(videos), None)


class PublicVideo(msgspec.Struct, frozen=True):
    """A video as the holder of a link sees it."""

    id: Id
    job_id: JobId
    name: Name
    status: VideoStatus
    duration: Seconds | None
    processing_time: Seconds | None
    created_at: Timestamp
    updated_at: Timestamp
    modules: Annotated[
        tuple[str, ...], Meta(description="Names of the analysis modules it has results of.")
    ]


class Video(msgspec.Struct, frozen=True):
    """A video as its owner sees it."""

    id: Id
    user_id: UserId
    job_id: JobId
    project_id: Annotated[str | None, Meta(description="The platform's project.")]
    name: Name
    status: VideoStatus
    selected_insights: Annotated[
        str, Meta(description="A JSON array of module names.", examples=['["scenes"]'])
    ]
    duration: Seconds | None
    file_size: FileSize | None
    processing_time: Seconds | None
    storage_path: Annotated[str | None, Meta(description="Where the platform keeps the video.")]
    created_at: Timestamp
    updated_at: Timestamp


class Segment(msgspec.Struct, frozen=True):
    """One finding of one module."""

    id: Annotated[str, Meta(description="The segment, within its video.", examples=["1"])]
    job_id: JobId
    module: Annotated[str, Meta(description="The module that found it.", examples=["scenes"])]
    content: Annotated[str, Meta(description="The finding as text.")]
    start_time: Seconds
    end_time: Seconds
    metadata: Annotated[Any, Meta(description="Additional data of the module: any JSON.")]
    created_at: Timestamp


class ReportDocument(msgspec.Struct, frozen=True):
    """A report with its analysis in one document."""

    video: PublicVideo
    segments: list[Segment]


class Analysis(msgspec.Struct, frozen=True):
    """A video and its whole analysis, checked and ready to be stored."""

    job_id: str
    project_id: str | None
    name: str
    status: Status
    selected_insights: str
    duration: float | None
    file_size: int | None
    processing_time: float | None
    storage_path: str | None
    modules: tuple[str, ...]
    segments: bytes
    """The JSON array of all Segments, ordered by start time, as it goes out on the wire."""
    ignored_fields: tuple[str, ...] = ()
    """Names of the fields that the export has and the video has not, to tell its sender."""
