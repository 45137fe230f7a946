"""What an owner's request does with webhooks, whether it comes from the API or from the console."""

import msgspec
from aiohttp import web

from service.domain.types import Owner
from service.domain.webhooks import (
    CreatedWebhook,
    NewWebhook,
    Webhook,
    WebhookChange,
    WebhookDelivery,
    validate_webhook,
)
from service.security.webhook_signatures import new_secret
from service.web.app_keys import REPOSITORIES, WEBHOOK_ADDRESSES, WEBHOOKS


async def create_webhook(app: web.Application, owner: Owner, new: NewWebhook) -> CreatedWebhook:
    """Create a webhook. Raises InvalidError, and what ``WebhookRepository.create`` raises."""
    settings, secret = validate_webhook(new, app[WEBHOOK_ADDRESSES]), new_secret()
    webhook = await app[REPOSITORIES].webhooks.create(owner.user_id, settings, secret)
    app[WEBHOOKS].look()
    return _with_secret(webhook, secret)


async def change_webhook(
    app: web.Application, owner: Owner, webhook_id: str, asked: WebhookChange
) -> Webhook:
    """Change a webhook. Raises InvalidError and NotFoundError."""
    settings = validate_webhook(asked, app[WEBHOOK_ADDRESSES])
    webhook = await app[REPOSITORIES].webhooks.change(owner.user_id, webhook_id, settings)
    app[WEBHOOKS].look()
    return webhook


async def rotate_secret(app: web.Application, owner: Owner, webhook_id: str) -> CreatedWebhook:
    """Give a webhook a new secret. Raises NotFoundError."""
    secret = new_secret()
    webhook = await app[REPOSITORIES].webhooks.rotate(owner.user_id, webhook_id, secret)
    return _with_secret(webhook, secret)


async def send_test(app: web.Application, owner: Owner, webhook_id: str) -> WebhookDelivery:
    """Make the delivery of a test. Raises NotFoundError and ConflictError."""
    delivery = await app[REPOSITORIES].webhooks.test(owner.user_id, webhook_id)
    app[WEBHOOKS].look()
    return delivery


async def retry_delivery(
    app: web.Application, owner: Owner, webhook_id: str, delivery_id: str
) -> WebhookDelivery:
    """Make a delivery again. Raises NotFoundError and ConflictError."""
    delivery = await app[REPOSITORIES].webhooks.retry(owner.user_id, webhook_id, delivery_id)
    app[WEBHOOKS].look()
    return delivery


def _with_secret(webhook: Webhook, secret: str) -> CreatedWebhook:
    return CreatedWebhook(**msgspec.structs.asdict(webhook), secret=secret)
