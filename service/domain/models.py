"""The typed values of the domain and of the wire.

What the wire shows are ``msgspec`` structs: their fields are the JSON's keys, in the JSON's
order. Names and types are the platform's: ids are strings, moments are UTC text without an
offset, and a flag of the database is 1 or 0.
"""

from typing import Annotated, Any, Literal, Protocol, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

JOB_ID_MAX = 200
KEY_NAME_MAX = 200
LABEL_MAX = 200
MODULE_NAME_MAX = 200
MODULES_MAX = 200
NAME_MAX = 1_000
PASSWORD_MAX = 200
LIMIT, LIMIT_MAX = 50, 200
"""How many things a page of a list shows: where nothing is said, and at most."""
_ROW_ID_DIGITS = 18  # all of which fit SQLite's 64-bit integer

Id = Annotated[
    str,
    Meta(
        pattern="^[1-9][0-9]{0,17}$",
        description="An id. Ids are never reused.",
        examples=["1"],
    ),
]
UserId = Annotated[
    str, Meta(description="The user.", examples=["550e8400-e29b-41d4-a716-446655440000"])
]
ShareHash = Annotated[
    str,
    Meta(
        pattern="^[A-Za-z0-9]{16,64}$",
        description="The secret that a link ends in. Whoever has it sees the report.",
        examples=["xK9mP2qR7wLnY4vB"],
    ),
]
Timestamp = Annotated[
    str,
    Meta(
        pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$",
        description="UTC, whole seconds, no offset.",
        examples=["2025-01-15T10:00:00"],
    ),
]
Flag = Annotated[Literal[0, 1], Meta(description="1 when it works, 0 when not.")]
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
        description="What the video is called.",
        examples=["Product Demo"],
    ),
]
LinkState = Literal["active", "scheduled", "expired", "exhausted", "inactive"]
LinkStatus = Annotated[
    LinkState,
    Meta(
        description="`active`; `scheduled`, before `not_before`; `expired`; `exhausted`, its views "
        "used up; `inactive`, switched off by its owner."
    ),
]
MaxViews = Annotated[
    int,
    Meta(
        ge=1,
        le=10**9,
        description="How often the report may be viewed; null for any number.",
    ),
]
Password = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=PASSWORD_MAX,
        description="What to ask for before the report is shown; null for nothing. It is never "
        "shown again.",
        examples=["correct horse battery staple"],
    ),
]
Label = Annotated[
    str,
    Meta(
        max_length=LABEL_MAX,
        description="What its owner calls it; nobody else sees it.",
        examples=["for the press"],
    ),
]
Modules = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=MODULE_NAME_MAX)], ...],
    Meta(
        max_length=MODULES_MAX,
        description="The analysis modules that the public may see; null for all.",
        examples=[["scenes"]],
    ),
]


class SharedReport(msgspec.Struct, frozen=True):
    """A link as its owner sees it."""

    id: Id
    user_id: UserId
    video_id: Id
    share_hash: ShareHash
    expires_at: Timestamp | None
    is_active: Annotated[Literal[0, 1], Meta(description="1 while `active` or `scheduled`.")]
    created_at: Timestamp
    status: LinkStatus
    not_before: Annotated[Timestamp | None, Meta(description="When it begins to work.")]
    max_views: MaxViews | None
    has_password: Annotated[Literal[0, 1], Meta(description="1 when it asks for a password.")]
    label: Label | None
    modules: Modules | None
    view_count: Annotated[
        int,
        Meta(
            ge=0,
            description="How often the report was viewed: exact where the link has `max_views` or "
            "a password, to within some seconds where not.",
        ),
    ]
    last_viewed_at: Annotated[Timestamp | None, Meta(description="UTC; null for never.")]


class NewSharedReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What creates a link. Unknown fields are refused: no mistyped ``expires_at`` may be lost."""

    video_id: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=JOB_ID_MAX,
            description="Video ID or job ID",
            examples=["a1b2c3d4"],
        ),
    ]
    expires_at: Annotated[
        str | None,
        Meta(
            description="Expiration date (ISO 8601). null for no expiry.",
            examples=["2030-01-15T10:00:00Z"],
        ),
    ] = None
    not_before: Annotated[
        str | None,
        Meta(
            description="When the link begins to work (ISO 8601). null for at once.",
            examples=["2029-12-01T08:00:00Z"],
        ),
    ] = None
    max_views: MaxViews | None = None
    password: Password | None = None
    label: Label | None = None
    modules: Modules | None = None


class SharedReportChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change of a link. What is left out stays as it is; null removes."""

    expires_at: Annotated[
        str | UnsetType | None,
        Meta(
            description="When the link dies (ISO 8601). null for never.",
            examples=["2030-01-15T10:00:00Z"],
        ),
    ] = UNSET
    not_before: Annotated[
        str | UnsetType | None,
        Meta(
            description="When it begins to work (ISO 8601). null for at once.",
            examples=["2029-12-01T08:00:00Z"],
        ),
    ] = UNSET
    max_views: MaxViews | UnsetType | None = UNSET
    password: Password | UnsetType | None = UNSET
    label: Label | UnsetType | None = UNSET
    modules: Modules | UnsetType | None = UNSET
    is_active: Annotated[
        bool | UnsetType, Meta(description="Whether the link is on; a dead one needs more.")
    ] = UNSET


class LinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is to hold for a link, checked and ready to be stored; what is not set is not said."""

    expires_at: str | UnsetType | None = UNSET
    not_before: str | UnsetType | None = UNSET
    max_views: int | UnsetType | None = UNSET
    password: str | UnsetType | None = UNSET
    """What it is checked against."""
    label: str | UnsetType | None = UNSET
    modules: tuple[str, ...] | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET


class LinkFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which links of a list are asked for; None asks for nothing."""

    status: str | None = None
    """A LinkState."""
    label: str | None = None
    """How the label begins."""
    expires_before: str | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether there may be links that it does not let through."""
        return any(each is not None for each in (self.status, self.label, self.expires_before))


NO_FILTER = LinkFilter()
"""All links."""


class PublicVideo(msgspec.Struct, frozen=True):
    """What the public may see of a video."""

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


class PublicReport(msgspec.Struct, frozen=True):
    """What anyone who holds a link sees."""

    share_hash: ShareHash
    video: PublicVideo
    created_at: Timestamp


class Link(msgspec.Struct, frozen=True):
    """What the public ways to a report have to know of its link."""

    id: int
    modules: str | None
    """Those that it shows, a JSON array; None for all."""
    is_open: bool
    """Whether it shows them to whoever comes."""


class AccessRequirements(msgspec.Struct, frozen=True):
    """What a link asks for before it shows its report."""

    share_hash: str
    id: int
    is_limited: bool
    """Whether its views are: each opening is one of them."""
    password: str | None
    """What a password is checked against; None where it asks for none."""

    @property
    def is_open(self) -> bool:
        """Whether it asks for nothing."""
        return not self.is_limited and self.password is None


class UnlockRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What opens a link."""

    password: (
        Annotated[
            str,
            Meta(
                max_length=PASSWORD_MAX,
                description="The link's password, where it asks for one.",
                examples=["correct horse battery staple"],
            ),
        ]
        | None
    ) = None


class UnlockForm(msgspec.Struct, frozen=True):
    """The form that opens a link on its page; other fields mean nothing."""

    password: Annotated[
        str,
        Meta(
            description="The link's password, where it asks for one.",
            examples=["correct horse battery staple"],
        ),
    ] = ""


class AccessGrant(msgspec.Struct, frozen=True):
    """A link that has been opened."""

    token: Annotated[
        str, Meta(description="What to bring as `X-Share-Token` to see the report again.")
    ]
    expires_at: Annotated[Timestamp, Meta(description="When the token ends, if the link has not.")]


class ReportWithAnalysis(msgspec.Struct, frozen=True):
    """A report with the analysis behind it, as they were at one moment."""

    link: Link
    video: PublicVideo
    expires_at: str | None
    segments: bytes
    """The JSON array of its Segments, ordered by start time."""


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
    content: Annotated[str, Meta(description="What was found.")]
    start_time: Seconds
    end_time: Seconds
    metadata: Annotated[Any, Meta(description="Whatever the module adds: any JSON.")]
    created_at: Timestamp


class ReportDocument(msgspec.Struct, frozen=True):
    """A report with the analysis behind it, in one document to take along."""

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


class ApiKey(msgspec.Struct, frozen=True):
    """An API key as its user sees it."""

    id: Id
    name: Annotated[str, Meta(description="What its user calls it.", examples=["ci"])]
    key_prefix: Annotated[
        str, Meta(description="How the key begins.", examples=["lvz_live_abcdef…"])
    ]
    is_active: Flag
    last_used_at: Annotated[
        Timestamp | None, Meta(description="UTC, to within some seconds; null for never.")
    ]
    created_at: Timestamp


class CreatedApiKey(ApiKey, frozen=True, kw_only=True):
    """A key at the one moment when it is whole."""

    raw_key: Annotated[str, Meta(description="The key itself. It is never shown again.")]


class NewApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What creates a key."""

    name: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=KEY_NAME_MAX,
            description="What to call it.",
            examples=["ci"],
        ),
    ]


class ApiKeyChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be changed of a key."""

    is_active: Annotated[bool, Meta(description="Whether the key works.", examples=[False])]


class Done(msgspec.Struct, frozen=True):
    """The answer of a deletion."""

    ok: Annotated[bool, Meta(description="Always true.")] = True


class AllRevoked(Done, frozen=True, kw_only=True):
    """The answer to the revocation of all links of a video."""

    deleted: Annotated[int, Meta(ge=0, description="How many links there were.")]


class LinkCounts(msgspec.Struct, frozen=True):
    """How many links there are of each status, and whether the background task is behind."""

    active: int
    scheduled: int
    expired: int
    exhausted: int
    inactive: int
    overdue_since: str | None
    """The earliest expiry among the links that have still to be deactivated."""


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


Listed = TypeVar("Listed", bound=_HasId)


class Page(msgspec.Struct, frozen=True):
    """Which part of a list is asked for; lists begin with the newest, which has the largest id."""

    limit: int | None = None
    """How many to show at most; None for all."""
    before: int = 2**63 - 1
    """Only those with smaller ids."""

    @property
    def rows(self) -> int:
        """What SQL's LIMIT has to be: one row more tells that there is a next page."""
        return -1 if self.limit is None else self.limit + 1

    def split_page(self, listed: list[Listed]) -> "tuple[list[Listed], Page | None]":
        """What of ``rows`` things or more is on this page, and the next page where there is one."""
        if self.limit is None or len(listed) <= self.limit:
            return listed, None
        shown = listed[: self.limit]
        return shown, Page(self.limit, int(shown[-1].id))


ALL_ROWS = Page()
"""Not a part, but the whole list."""


class Owner(msgspec.Struct, frozen=True):
    """Who is calling: the user behind an API key."""

    user_id: str
    key_id: int


def row_id(text: str) -> int | None:
    """The row that a wire id names; None for text that is no id, other spellings included."""
    if (
        text.isdecimal()
        and text.isascii()
        and len(text) <= _ROW_ID_DIGITS
        and text == str(int(text))
    ):
        return int(text)
    return None
