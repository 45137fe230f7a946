"""Events: what has happened to a user's links and videos."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.domain.links import SharedReport
from service.domain.paging import LIMIT
from service.domain.types import Id, Timestamp

EventType = Literal[
    "shared_report.created",
    "shared_report.changed",
    "shared_report.rotated",
    "shared_report.unlocked",
    "shared_report.viewed",
    "shared_report.expired",
    "shared_report.exhausted",
    "shared_report.revoked",
    "video.replaced",
    "video.deleted",
]

EVENT_TYPES: tuple[str, ...] = get_args(EventType)

_COUNTS = {
    "new_views": "In `shared_report.viewed`: views since the link's `shared_report.viewed` before.",
    "new_bot_views": "In `shared_report.viewed`: views by bots since then.",
    "new_unlocks": "In `shared_report.unlocked`: how many unlocks this event stands for.",
}

LinkSnapshot = msgspec.defstruct(
    "LinkSnapshot",
    [
        *(
            (name, cls)
            for name, cls in SharedReport.__annotations__.items()
            if name != "share_hash"
        ),
        *(
            (name, Annotated[int | UnsetType, Meta(description=text)], UNSET)
            for name, text in _COUNTS.items()
        ),
    ],
    frozen=True,
    namespace={"__doc__": "A link as its owner saw it then. It lacks the share hash, a secret."},
)
"""The data of an event of a link: the fields of SharedReport without the secret one."""


class Event(msgspec.Struct, frozen=True):
    """One thing that has happened to a link or a video."""

    id: Annotated[Id, Meta(description="Larger than those of the user's events before it.")]
    type: Annotated[EventType, Meta(description="What has happened.")]
    created_at: Annotated[Timestamp, Meta(description="UTC. When the event was written.")]
    data: Annotated[
        Any,  # a LinkSnapshot or a Video: msgspec describes no union of two structs
        Meta(
            description="The link without its share hash, or the video, as its owner saw it then.",
            extra_json_schema={
                "oneOf": [
                    {"$ref": "#/components/schemas/LinkSnapshot"},
                    {"$ref": "#/components/schemas/Video"},
                ]
            },
        ),
    ]


class EventRange(msgspec.Struct, frozen=True):
    """The events of a user that a caller asks for."""

    after: int = 0
    """The position of the caller: only events with larger ids."""
    limit: int = LIMIT
    """How many events at most."""
    type: EventType | None = None
    """Only events of this type; None for all."""


class EventPage(msgspec.Struct, frozen=True):
    """Events of a user in the order of their ids, and where the next ones begin."""

    events: Sequence[Event]
    next: int
    """The position after all events that were looked at: they have this id or smaller ones."""
    has_more: bool
    """Whether later events are there already."""
