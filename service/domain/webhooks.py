"""Webhooks: what their users set and see, and what the dispatcher needs to make deliveries."""

from typing import Annotated, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.domain import clock
from service.domain.errors import InvalidError
from service.domain.events import Event, EventType
from service.domain.normal_form import bounded_nfc
from service.domain.types import Flag, Id, Timestamp
from service.domain.webhook_addresses import URL_MAX, AddressRules

WEBHOOKS_MAX = 20
"""Webhooks of one user: each event makes a delivery for each of them."""

DESCRIPTION_MAX = 200

TEST_TYPE = "webhook.test"
"""The type of the message that a test delivers. It is no event."""

DELAYS = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds from the event to the first try, and from each failed try to the next."""

FAILING_DAYS_MAX = 5
"""Days after which a webhook whose tries have all failed is switched off."""

PREVIOUS_SECRET_HOURS = 24
"""Hours that a secret goes on to sign after it was replaced."""

DeliveryStatus = Literal["pending", "delivered", "failed"]

Url = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=URL_MAX,
        description="Where the deliveries go: an https URL without credentials, at a public "
        "address. Redirects are not followed.",
        examples=["https://hooks.example/reports"],
    ),
]

_Events = Annotated[
    tuple[EventType, ...],
    Meta(
        min_length=1,
        max_length=len(get_args(EventType)),
        description="The types of events that are delivered; null for all.",
    ),
]

_Description = Annotated[
    str, Meta(max_length=DESCRIPTION_MAX, description="The user's text about it.")
]


class Webhook(msgspec.Struct, frozen=True):
    """A webhook as its user sees it."""

    id: Id
    url: Url
    events: _Events | None
    description: _Description | None
    is_active: Flag
    created_at: Timestamp
    failing_since: Annotated[
        Timestamp | None,
        Meta(description="The first failed try since the latest success; null if it is well."),
    ]
    disabled_reason: Annotated[
        str | None,
        Meta(description="Why the service has switched it off; null if it has not."),
    ]


class CreatedWebhook(Webhook, frozen=True, kw_only=True):
    """A webhook with its new secret."""

    secret: Annotated[
        str,
        Meta(
            description="The secret that signs its deliveries. It is never shown again.",
            examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        ),
    ]


class NewWebhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that creates a webhook."""

    url: Url
    events: _Events | None = None
    description: _Description | None = None


class WebhookChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change of a webhook. Fields that are left out stay as they are."""

    url: Url | UnsetType = UNSET
    events: _Events | UnsetType | None = UNSET
    description: _Description | UnsetType | None = UNSET
    is_active: Annotated[
        bool | UnsetType, Meta(description="Whether deliveries are made.", examples=[True])
    ] = UNSET


class WebhookDelivery(msgspec.Struct, frozen=True):
    """The delivery of one event to one webhook."""

    id: Id
    event_id: Annotated[Id | None, Meta(description="The event; null for a test.")]
    type: Annotated[
        EventType | Literal["webhook.test"], Meta(description="The type of the message.")
    ]
    status: Annotated[
        DeliveryStatus,
        Meta(description="`pending` until a try succeeds (`delivered`) or the last one fails."),
    ]
    attempts: Annotated[int, Meta(ge=0, description="The tries so far.")]
    created_at: Timestamp
    last_attempt_at: Annotated[
        Timestamp | None, Meta(description="UTC. Null before the first try.")
    ]
    status_code: Annotated[
        int | None,
        Meta(description="The HTTP status of the latest answer; null if there was none."),
    ]
    error: Annotated[str | None, Meta(description="Why the latest try failed; null if it did not.")]
    next_attempt_at: Annotated[
        Timestamp | None,
        Meta(description="UTC. The earliest time of the next try; null if there is none."),
    ]


class WebhookSettings(msgspec.Struct, frozen=True):
    """Validated settings of a webhook, ready to store. UNSET means not given."""

    url: str | UnsetType = UNSET
    events: tuple[EventType, ...] | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET

    @property
    def events_json(self) -> str | None:
        """The types of events as a JSON array; None for all, or if they are not given."""
        return msgspec.json.encode(self.events).decode() if self.events else None


def validate_webhook(asked: NewWebhook | WebhookChange, rules: AddressRules) -> WebhookSettings:
    """Return the settings that a body asks for. Raises InvalidError."""
    if asked.url is not UNSET:
        rules.check_url(asked.url)
    description = asked.description
    if isinstance(description, str):
        description = bounded_nfc("description", description, DESCRIPTION_MAX)
    events = asked.events
    if isinstance(events, tuple):
        events = tuple(dict.fromkeys(events))
    is_active = asked.is_active if isinstance(asked, WebhookChange) else True
    return WebhookSettings(asked.url, events, description, is_active)


def read_delivery_status(status: str | None) -> str | None:
    """Return the status that a list of deliveries is filtered by. Raises InvalidError."""
    if status is not None and status not in get_args(DeliveryStatus):
        names = ", ".join(f"`{name}`" for name in get_args(DeliveryStatus))
        raise InvalidError(f"`status` is one of {names}.")
    return status


class ClaimedWebhook(msgspec.Struct, frozen=True):
    """A webhook whose deliveries only the holder of its lease may make."""

    id: int
    user_id: str
    lease: int
    url: str
    secrets: tuple[str, ...]
    """One, and for a while after a rotation the one before, too."""
    failures: int
    """Failed tries since the latest success."""


class Message(msgspec.Struct, frozen=True):
    """The body of a request to a receiver."""

    type: str
    timestamp: str
    """When the event was written, with the offset Z."""
    data: object
    """That of the event."""


class DueDelivery(msgspec.Struct, frozen=True):
    """A delivery of a claimed webhook that is to be tried now."""

    id: int
    event_id: int | None
    """None for a test."""
    type: str
    created_at: str
    step: int
    """How many tries of DELAYS have failed."""
    event: Event | None
    """None if it is no longer stored, and for a test."""

    @property
    def message_id(self) -> str:
        """The id of the message, the same on every try and at each webhook of the user.

        A database that was restored gives out ids again. The time keeps two messages apart.
        """
        name = f"test_{self.id}" if self.event_id is None else f"evt_{self.event_id}"
        return f"{name}_{clock.to_seconds(self.created_at):.0f}"

    def body(self, webhook_id: int) -> bytes | None:
        """Return the message as JSON; None if the event is no longer stored."""
        if self.event_id is None:
            data: object = {"webhook_id": str(webhook_id)}
        elif self.event is None:
            return None
        else:
            data = self.event.data
        return msgspec.json.encode(Message(self.type, f"{self.created_at}Z", data))


class Attempt(msgspec.Struct, frozen=True):
    """One try of a delivery, to be recorded."""

    delivery_id: int
    status: DeliveryStatus
    status_code: int | None
    error: str | None
    delay: int | None
    """Seconds until the next try; None if there is none."""


class WebhookHealth(msgspec.Struct, frozen=True):
    """What a series of tries says about a webhook."""

    failures: int
    """Failed tries since the latest success."""
    has_recovered: bool
    """Whether a try of the series succeeded."""
    rest: int
    """Seconds for which no delivery is to be tried."""


class QueueState(msgspec.Struct, frozen=True):
    """When the dispatcher has work."""

    has_webhooks: bool
    """Whether any webhook is active."""
    delay: float | None
    """Seconds until a webhook that nobody has claimed has a delivery due; None if none has."""


class Backlog(msgspec.Struct, frozen=True):
    """The deliveries that are pending."""

    count: int
    """How many, up to BACKLOG_COUNTED."""
    oldest: str | None
    """When the oldest one was created."""


BACKLOG_COUNTED = 10_000
"""A scrape counts pending deliveries up to this number."""
