"""The command ``webhooks``: webhooks of one user."""

from typing import Any

import click
import msgspec

from service.cli.common import Text, Uuid, with_repositories
from service.cli.output import echo, echo_json, echo_table
from service.config import Config
from service.domain.decoding import decode_body
from service.domain.events import EVENT_TYPES
from service.domain.paging import LIMIT_MAX, Page
from service.domain.types import Done
from service.domain.webhook_addresses import AddressRules
from service.domain.webhooks import (
    CreatedWebhook,
    NewWebhook,
    Webhook,
    WebhookDelivery,
    read_delivery_status,
    validate_webhook,
)
from service.repositories.base import Repositories
from service.security.webhook_signatures import new_secret

_user = click.option("--user", type=Uuid(), required=True, help="The user of the webhooks.")
_json = click.option("--json", "as_json", is_flag=True, help="Print what the API answers.")
_webhook_id = click.argument("webhook_id", metavar="ID")


@click.group()
def webhooks() -> None:
    """Manage a user's webhooks. A service that runs makes the deliveries."""


@webhooks.command("list")
@_user
@_json
@click.pass_obj
def list_webhooks(config: Config, *, user: str, as_json: bool) -> None:
    """List a user's webhooks, newest first."""
    webhooks = with_repositories(config, lambda repositories: repositories.webhooks.list_all(user))
    if as_json:
        echo_json(webhooks)
        return
    rows = [("ID", "STATE", "EVENTS", "URL", "DESCRIPTION")]
    rows += [
        (
            webhook.id,
            _state(webhook),
            ",".join(webhook.events or ("all",)),
            webhook.url,
            webhook.description or "",
        )
        for webhook in webhooks
    ]
    echo_table(rows)


def _state(webhook: Webhook) -> str:
    if not webhook.is_active:
        return "off"
    return "failing" if webhook.failing_since else "active"


@webhooks.command("create")
@click.argument("url", type=Text())
@_user
@click.option(
    "--event",
    "events",
    type=click.Choice(EVENT_TYPES),
    multiple=True,
    help="A type of events to deliver; may be repeated. Default: all.",
)
@click.option("--description", type=Text(), help="A text about the webhook. Default: none.")
@_json
@click.pass_obj
def create_webhook(
    config: Config, /, *, user: str, events: tuple[str, ...], as_json: bool, **options: str | None
) -> None:
    """Create a webhook to URL; its secret is printed, and never shown again."""
    given = options | {"events": events or None}
    new = decode_body(msgspec.json.encode(given), NewWebhook)
    settings = validate_webhook(new, AddressRules(config.webhook_networks or ()))
    secret = new_secret()

    async def create(repositories: Repositories) -> Webhook:
        return await repositories.webhooks.create(user, settings, secret)

    webhook = with_repositories(config, create)
    if as_json:
        echo_json(CreatedWebhook(**msgspec.structs.asdict(webhook), secret=secret))
    else:
        echo_table([("id", webhook.id), ("secret", secret)])


@webhooks.command("test")
@_webhook_id
@_user
@_json
@click.pass_obj
def send_test(config: Config, *, webhook_id: str, user: str, as_json: bool) -> None:
    """Deliver a test message to a webhook, by the service that runs."""
    delivery = with_repositories(
        config, lambda repositories: repositories.webhooks.test(user, webhook_id)
    )
    _print_made(delivery, as_json=as_json)


@webhooks.command("deliveries")
@_webhook_id
@_user
@click.option(
    "--status", type=Text(), help="Only deliveries in this status, such as failed. Default: all."
)
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=50,
    help="How many deliveries at most. Default: 50.",
)
@_json
@click.pass_obj
def list_deliveries(
    config: Config, /, *, webhook_id: str, user: str, as_json: bool, **options: Any
) -> None:
    """List the deliveries of a webhook, newest first."""
    status, page = read_delivery_status(options["status"]), Page(options["limit"])

    async def fetch(repositories: Repositories) -> list[WebhookDelivery]:
        deliveries, _ = await repositories.webhooks.list_deliveries(user, webhook_id, page, status)
        return deliveries

    deliveries = with_repositories(config, fetch)
    if as_json:
        echo_json(deliveries)
        return
    rows = [("ID", "CREATED", "TYPE", "STATUS", "TRIES", "ANSWER", "NEXT TRY", "ERROR")]
    rows += [
        (
            delivery.id,
            delivery.created_at,
            delivery.type,
            delivery.status,
            str(delivery.attempts),
            str(delivery.status_code or "-"),
            delivery.next_attempt_at or "-",
            delivery.error or "",
        )
        for delivery in deliveries
    ]
    echo_table(rows)


@webhooks.command("retry")
@_webhook_id
@click.argument("delivery_id", metavar="DELIVERY")
@_user
@_json
@click.pass_obj
def retry_delivery(
    config: Config, *, webhook_id: str, delivery_id: str, user: str, as_json: bool
) -> None:
    """Make a delivery again, by the service that runs."""
    delivery = with_repositories(
        config, lambda repositories: repositories.webhooks.retry(user, webhook_id, delivery_id)
    )
    _print_made(delivery, as_json=as_json)


@webhooks.command("delete")
@_webhook_id
@_user
@_json
@click.pass_obj
def delete_webhook(config: Config, *, webhook_id: str, user: str, as_json: bool) -> None:
    """Delete a webhook; its pending deliveries are not made."""
    with_repositories(config, lambda repositories: repositories.webhooks.delete(user, webhook_id))
    if as_json:
        echo_json(Done())
    else:
        echo(f"Webhook {webhook_id} is deleted.")


def _print_made(delivery: WebhookDelivery, *, as_json: bool) -> None:
    if as_json:
        echo_json(delivery)
    else:
        echo(f"Delivery {delivery.id} is due now.")
