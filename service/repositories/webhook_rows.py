"""Webhooks and deliveries of rows, and the checks that both engines share."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from service.domain.errors import ConflictError, NotFoundError
from service.domain.events import Event, EventType
from service.domain.webhooks import (
    WEBHOOKS_MAX,
    ClaimedWebhook,
    DueDelivery,
    Webhook,
    WebhookDelivery,
    WebhookSettings,
)

Row = Sequence[Any]

TOO_MANY = f"You have {WEBHOOKS_MAX} webhooks, the most there may be. Delete one."


def webhook_of(row: Row) -> Webhook:
    """Return a webhook: its columns are Webhook's fields, ``events`` as JSON."""
    webhook_id, url, events, *others = row
    types = None if events is None else msgspec.json.decode(events, type=tuple[EventType, ...])
    return Webhook(str(webhook_id), url, types, *others)


def changed_values(settings: WebhookSettings) -> dict[str, object]:
    """Return the parameters of a change; those that begin with ``has_`` tell what is given."""
    values = {
        "url": settings.url,
        "events": settings.events_json,
        "description": settings.description,
        "is_active": settings.is_active,
    }
    return {
        "has_url": settings.url is not UNSET,
        "has_events": settings.events is not UNSET,
        "has_description": settings.description is not UNSET,
        **{name: None if value is UNSET else value for name, value in values.items()},
    }


def only_webhook(rows: Sequence[Row]) -> Webhook:
    """Return the webhook of the one row. Raises NotFoundError if there is none."""
    if not rows:
        raise NotFoundError("No such webhook.")
    return webhook_of(rows[0])


def delivery_of(row: Row) -> WebhookDelivery:
    """Return a delivery: its columns are WebhookDelivery's fields."""
    delivery_id, event_id, *others = row
    return WebhookDelivery(str(delivery_id), None if event_id is None else str(event_id), *others)


def made_delivery(rows: Sequence[Row], webhook: Webhook, what: str) -> WebhookDelivery:
    """Return the delivery of the one row.

    If there is none: raises ConflictError if the webhook is off, else NotFoundError.
    """
    if rows:
        return delivery_of(rows[0])
    if not webhook.is_active:
        raise ConflictError("This webhook is off: switch it on first.")
    raise NotFoundError(what)


def claimed_webhook(row: Row) -> ClaimedWebhook:
    """Return a claimed webhook: id, user, lease, URL, failures, secret and the one before."""
    webhook_id, user_id, lease, url, failures, secret, previous = row
    signing = (secret,) if previous is None else (secret, previous)
    return ClaimedWebhook(webhook_id, user_id, lease, url, signing, failures)


def due_deliveries(rows: Sequence[Row], events: Iterable[Event]) -> list[DueDelivery]:
    """Return due deliveries, whose columns are DueDelivery's fields but the last, with events."""
    by_id = {event.id: event for event in events}
    return [
        DueDelivery(delivery_id, event_id, event_type, created_at, step, by_id.get(str(event_id)))
        for delivery_id, event_id, event_type, created_at, step in rows
    ]
