"""Webhooks: a user manages their own, and looks at the deliveries."""

from functools import partial

import msgspec
from aiohttp import web

from service.aiohttp_ext.response import Response, json_response
from service.domain.errors import ConflictError, InvalidError, MalformedError, NotFoundError
from service.domain.paging import FIRST_PAGE
from service.domain.types import Done, Owner
from service.domain.webhooks import (
    CreatedWebhook,
    NewWebhook,
    Webhook,
    WebhookChange,
    WebhookDelivery,
    read_delivery_status,
    validate_webhook,
)
from service.repositories.base_webhooks import WebhookRepository
from service.security.webhook_signatures import new_secret
from service.web.app_keys import REPOSITORIES, WEBHOOK_ADDRESSES, WEBHOOKS
from service.web.paging import requested_page, respond_with_page
from service.web.request_body import read_json
from service.web.routing import RouteTable

table = RouteTable("Webhooks")


def _webhooks(request: web.Request) -> WebhookRepository:
    return request.app[REPOSITORIES].webhooks


def _with_secret(webhook: Webhook, secret: str, status: int) -> Response:
    fields = msgspec.structs.asdict(webhook)
    return json_response(CreatedWebhook(**fields, secret=secret), status=status)


@table.owned(
    "POST",
    "/api/webhooks",
    operation="createWebhook",
    creates=True,
    body=NewWebhook,
    returns=CreatedWebhook,
    status=201,
    problems=(ConflictError,),
)
async def create(request: web.Request, owner: Owner) -> Response:
    """Create a webhook.

    The answer is the only place where its secret is shown.

    The events that are written from now on are delivered to its URL, at least once each, by the
    Standard Webhooks specification. A user has at most 20 webhooks.
    """
    new = await read_json(request, NewWebhook)
    settings = validate_webhook(new, request.app[WEBHOOK_ADDRESSES])
    secret = new_secret()
    webhook = await _webhooks(request).create(owner.user_id, settings, secret)
    request.app[WEBHOOKS].look()
    return _with_secret(webhook, secret, 201)


@table.owned("GET", "/api/webhooks", operation="listWebhooks", returns=list[Webhook])
async def list_all(request: web.Request, owner: Owner) -> Response:
    """List the webhooks, newest first.

    Inactive ones are included. Their secrets are not shown.
    """
    return json_response(await _webhooks(request).list_all(owner.user_id))


@table.owned(
    "GET",
    "/api/webhooks/{webhook_id}",
    operation="getWebhook",
    returns=Webhook,
    problems=(NotFoundError,),
)
async def get(request: web.Request, owner: Owner) -> Response:
    """Return a webhook.

    `disabled_reason` says why, if the service has switched it off.
    """
    webhook_id = request.match_info["webhook_id"]
    return json_response(await _webhooks(request).get(owner.user_id, webhook_id))


@table.owned(
    "PATCH",
    "/api/webhooks/{webhook_id}",
    operation="changeWebhook",
    body=WebhookChange,
    returns=Webhook,
    problems=(NotFoundError,),
)
async def change(request: web.Request, owner: Owner) -> Response:
    """Change a webhook, or switch it off and on.

    Fields that are left out stay as they are. Deliveries that are pending wait while it is off,
    and no event of that time is delivered.
    """
    asked = await read_json(request, WebhookChange)
    settings = validate_webhook(asked, request.app[WEBHOOK_ADDRESSES])
    webhook_id = request.match_info["webhook_id"]
    webhook = await _webhooks(request).change(owner.user_id, webhook_id, settings)
    request.app[WEBHOOKS].look()
    return json_response(webhook)


@table.owned(
    "DELETE",
    "/api/webhooks/{webhook_id}",
    operation="deleteWebhook",
    returns=Done,
    problems=(NotFoundError,),
)
async def delete(request: web.Request, owner: Owner) -> Response:
    """Delete a webhook.

    Deliveries that are pending are not made any more.
    """
    await _webhooks(request).delete(owner.user_id, request.match_info["webhook_id"])
    return json_response(Done())


@table.owned(
    "POST",
    "/api/webhooks/{webhook_id}/rotate",
    operation="rotateWebhook",
    returns=CreatedWebhook,
    problems=(NotFoundError,),
)
async def rotate(request: web.Request, owner: Owner) -> Response:
    """Give a webhook a new secret.

    The answer is the only place where it is shown.
    The secret before it signs as well for 24 hours.
    """
    secret = new_secret()
    webhook_id = request.match_info["webhook_id"]
    webhook = await _webhooks(request).rotate(owner.user_id, webhook_id, secret)
    return _with_secret(webhook, secret, 200)


@table.owned(
    "POST",
    "/api/webhooks/{webhook_id}/test",
    operation="testWebhook",
    creates=True,
    returns=WebhookDelivery,
    status=202,
    problems=(NotFoundError, ConflictError),
)
async def test(request: web.Request, owner: Owner) -> Response:
    """Deliver a message of the type `webhook.test` to a webhook.

    It is made soon; the list of deliveries shows what became of it.
    """
    webhook_id = request.match_info["webhook_id"]
    delivery = await _webhooks(request).test(owner.user_id, webhook_id)
    request.app[WEBHOOKS].look()
    return json_response(delivery, status=202)


@table.owned(
    "GET",
    "/api/webhooks/{webhook_id}/deliveries",
    operation="listWebhookDeliveries",
    query=("status", "limit", "cursor"),
    returns=list[WebhookDelivery],
    headers=("Link-Next",),
    problems=(NotFoundError, InvalidError, MalformedError),
)
async def list_deliveries(request: web.Request, owner: Owner) -> Response:
    """List the deliveries of a webhook, newest first, as long as their events are kept.

    The list has pages; the `Link` header names the next one.
    """
    webhook_id, status = request.match_info["webhook_id"], request.query.get("status")
    fetch = partial(
        _webhooks(request).list_deliveries,
        owner.user_id,
        webhook_id,
        status=read_delivery_status(status),
    )
    return await respond_with_page(request, fetch, requested_page(request) or FIRST_PAGE)


@table.owned(
    "POST",
    "/api/webhooks/{webhook_id}/deliveries/{delivery_id}/retry",
    operation="retryWebhookDelivery",
    returns=WebhookDelivery,
    status=202,
    problems=(NotFoundError, ConflictError),
)
async def retry(request: web.Request, owner: Owner) -> Response:
    """Make a delivery again.

    Whatever became of it: it is tried now, and by the whole schedule if that fails.
    """
    delivery = await _webhooks(request).retry(
        owner.user_id, request.match_info["webhook_id"], request.match_info["delivery_id"]
    )
    request.app[WEBHOOKS].look()
    return json_response(delivery, status=202)
