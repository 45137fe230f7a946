"""Links: what an owner sets, what an owner sees, what the public sees."""

from operator import attrgetter
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.domain.errors import ExhaustedError, ExpiredError, NotFoundError, ServiceError
from service.domain.types import Done, Id, ShareHash, Timestamp, UserId
from service.domain.videos import JOB_ID_MAX, PublicVideo

BARE_DATE = "A bare date, such as 2030-01-15, is its midnight UTC."

_BARE_EXPIRY = f"{BARE_DATE} The link is then dead as that day begins."

LABEL_MAX = 200

NOTE_MAX = 500

SENDER_MAX = 100

MODULE_NAME_MAX = 200

MODULES_MAX = 200

MODULES_BYTES_MAX = 24_000
"""Bytes of their JSON: a page of 200 links is 5 MB at most."""

PASSWORD_MAX = 200

LinkState = Literal["active", "scheduled", "expired", "exhausted", "inactive"]


ACTIVE_STATES: frozenset[str] = frozenset({"active", "scheduled"})
"""The states in which ``is_active`` is 1."""

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
        description="The password that viewers must enter; null for none. It is never returned.",
        examples=["correct horse battery staple"],
    ),
]


Label = Annotated[
    str,
    Meta(
        max_length=LABEL_MAX,
        description="The owner's name for the link; viewers do not see it.",
        examples=["for the press"],
    ),
]


Note = Annotated[
    str,
    Meta(
        max_length=NOTE_MAX,
        description="The owner's note; viewers do not see it.",
        examples=["Sent to the editors on Monday."],
    ),
]


Sender = Annotated[
    str,
    Meta(
        max_length=SENDER_MAX,
        description="Who shares the report, in the owner's words. Viewers see it on the page.",
        examples=["Ann of the picture desk"],
    ),
]


Modules = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=MODULE_NAME_MAX)], ...],
    Meta(
        max_length=MODULES_MAX,
        description="The analysis modules that the public may see, in at most 24000 bytes; null "
        "for all.",
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
    has_password: Annotated[Literal[0, 1], Meta(description="1 if it has a password.")]
    label: Label | None
    modules: Modules | None
    view_count: Annotated[
        int,
        Meta(
            ge=0,
            description="How often the report was viewed, bots left out: exact where the link has "
            "`max_views` or a password, to within some seconds where not.",
        ),
    ]
    last_viewed_at: Annotated[Timestamp | None, Meta(description="UTC; null for never.")]
    note: Note | None
    bot_view_count: Annotated[
        int,
        Meta(
            ge=0,
            description="How often bots were shown the report, to within some seconds: crawlers, "
            "link previews, prefetches, HEAD. They count nowhere else.",
        ),
    ]
    sender: Sender | None


class LinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All that an owner may set of a link. UNSET means not given; null removes.

    Validation and all statements go by these fields. A new field is a line here, in
    ``NewSharedReport`` and in ``SharedReport``, and a column.
    """

    expires_at: Annotated[
        str | UnsetType | None,
        Meta(
            description=f"When the link expires (ISO 8601). null for never. {_BARE_EXPIRY}",
            examples=["2030-01-15T10:00:00Z"],
        ),
    ] = UNSET
    not_before: Annotated[
        str | UnsetType | None,
        Meta(
            description=f"When it begins to work (ISO 8601). null for at once. {BARE_DATE}",
            examples=["2029-12-01T08:00:00Z"],
        ),
    ] = UNSET
    max_views: MaxViews | UnsetType | None = UNSET
    password: Password | UnsetType | None = UNSET
    """The password as it is asked for; its scrypt digest once it is hashed."""
    label: Label | UnsetType | None = UNSET
    modules: Modules | UnsetType | None = UNSET
    is_active: Annotated[bool | UnsetType, Meta(description="Whether the link is switched on.")] = (
        UNSET
    )
    note: Note | UnsetType | None = UNSET
    sender: Sender | UnsetType | None = UNSET


class SharedReportChange(LinkSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a link. A field that is left out stays as it is; null removes a setting."""


class NewSharedReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of a new link. An unknown field, such as a mistyped one, is rejected."""

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
        str | UnsetType | None,
        Meta(
            description=f"Expiration date (ISO 8601). null for no expiry. {_BARE_EXPIRY}",
            examples=["2030-01-15T10:00:00Z"],
            extra_json_schema={"default": None},
        ),
    ] = UNSET
    """UNSET means the operator's default, if there is one."""
    not_before: Annotated[
        str | None,
        Meta(
            description=f"When the link begins to work (ISO 8601). null for at once. {BARE_DATE}",
            examples=["2029-12-01T08:00:00Z"],
        ),
    ] = None
    max_views: MaxViews | None = None
    password: Password | None = None
    label: Label | None = None
    modules: Modules | None = None
    note: Note | None = None
    sender: Sender | None = None


class CreatedLink(msgspec.Struct, frozen=True):
    """What a link gets when it is created, beside its settings."""

    share_hash: str
    id: int
    video_id: int
    created_at: str


_REPORTED_SETTINGS = tuple(
    name
    for name in LinkSettings.__struct_fields__
    if name in SharedReport.__struct_fields__ and name != "is_active"
)

_reported_values = attrgetter(*_REPORTED_SETTINGS)


def new_report(user_id: str, link: CreatedLink, settings: LinkSettings) -> SharedReport:
    """Return a link as its owner sees it at the moment of its creation."""
    values = _reported_values(settings)
    if UNSET in values:
        values = tuple(None if value is UNSET else value for value in values)
    status = _new_status(settings, link.created_at)
    return SharedReport(
        id=str(link.id),
        user_id=user_id,
        video_id=str(link.video_id),
        share_hash=link.share_hash,
        is_active=1 if status in ACTIVE_STATES else 0,
        created_at=link.created_at,
        status=status,
        has_password=1 if settings.password else 0,
        view_count=0,
        last_viewed_at=None,
        bot_view_count=0,
        **dict(zip(_REPORTED_SETTINGS, values, strict=True)),
    )


def _new_status(settings: LinkSettings, created_at: str) -> LinkState:
    """Return the status at creation; the writer may have been busy until after ``expires_at``."""
    if settings.expires_at and settings.expires_at <= created_at:
        return "expired"
    if settings.not_before and settings.not_before > created_at:
        return "scheduled"
    return "active"


def inactive_error(status: str | None, expires_at: str | None) -> ServiceError:
    """Return the error for a link that is not active; ``status`` is None if there is no link."""
    if status == "expired":
        return ExpiredError(expires_at or "")
    if status == "exhausted":
        return ExhaustedError("This link has been viewed as often as it may be.")
    return NotFoundError("No such shared report.", guessed=True)


class LinkFilter(msgspec.Struct, frozen=True, kw_only=True):
    """A filter of a list of links; None does not filter."""

    status: str | None = None
    """A LinkState."""
    label: str | None = None
    """The beginning of the label."""
    expires_before: str | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether the filter may leave links out."""
        return self != NO_FILTER


NO_FILTER = LinkFilter()
"""All links."""


class PublicReport(msgspec.Struct, frozen=True):
    """A report as the holder of a link sees it."""

    share_hash: ShareHash
    video: PublicVideo
    created_at: Timestamp


class Link(msgspec.Struct, frozen=True):
    """A link as the public routes need it: all that its responses depend on.

    Two equal ones show the same report. Renderings are kept by it: see ``web.render_cache``.
    """

    id: int
    share_hash: str
    modules: str | None
    """The modules that it shows, as a JSON array; None for all."""
    requires_nothing: bool
    """Whether it requires nothing."""
    expires_at: str | None
    video_version: str
    """Changes with every replacement of the video, and names no other video's version."""
    sender: str | None
    """Who shares it, as its owner says; None for nobody named."""


class ReportWithAnalysis(msgspec.Struct, frozen=True):
    """A report with its analysis, from one snapshot of the database."""

    link: Link
    video: PublicVideo
    segments: bytes
    """The JSON array of its Segments, ordered by start time."""


class AllRevoked(Done, frozen=True, kw_only=True):
    """The answer to the revocation of all links of a video."""

    deleted: Annotated[int, Meta(ge=0, description="How many links there were.")]


class LinkCounts(msgspec.Struct, frozen=True):
    """The number of links of each status, and how far the background task is behind."""

    active: int
    scheduled: int
    expired: int
    exhausted: int
    inactive: int
    overdue_since: str | None
    """The earliest expiry among the links that have still to be deactivated."""
