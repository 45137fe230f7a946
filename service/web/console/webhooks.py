"""Webhooks: a list, one webhook with its deliveries, and the forms that create and change one."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, get_args

import msgspec
from aiohttp import web

from service.aiohttp_ext.response import Response
from service.domain.errors import ConflictError, InvalidError
from service.domain.events import EVENT_TYPES
from service.domain.paging import Page
from service.domain.webhook_addresses import URL_MAX
from service.domain.webhooks import (
    DESCRIPTION_MAX,
    DeliveryStatus,
    NewWebhook,
    Webhook,
    WebhookChange,
    WebhookDelivery,
    read_delivery_status,
)
from service.web.app_keys import REPOSITORIES
from service.web.console.forms import Form
from service.web.console.lists import list_view
from service.web.console.rendering import redirect, show
from service.web.console.routing import ConsoleTable
from service.web.console.sessions import Session
from service.web.console.settings import (
    GENERAL,
    Errors,
    FormError,
    decode_settings,
    errors_of,
)
from service.web.problems import STATUS
from service.web.webhook_requests import change_webhook, create_webhook

table = ConsoleTable()

_EMPTY = Form([("events-mode", "all")])


@table.page("/console/webhooks")
async def list_webhooks(request: web.Request, session: Session) -> Response:
    """List the webhooks, and show the form that creates one."""
    return await _list_page(request, session)


async def _list_page(
    request: web.Request,
    session: Session,
    error: FormError | ConflictError | None = None,
    form: Form = _EMPTY,
) -> Response:
    webhooks = await request.app[REPOSITORIES].webhooks.list_all(session.owner.user_id)
    errors, status = _errors_and_status(error)
    return await show(
        request,
        session,
        "webhooks.html",
        status=status,
        webhooks=webhooks,
        done=request.query.get("done"),
        **_form_values(form, errors),
    )


def _errors_and_status(error: FormError | ConflictError | None) -> tuple[Errors, HTTPStatus]:
    if error is None:
        return {}, HTTPStatus.OK
    if isinstance(error, FormError):
        return error.errors, HTTPStatus.UNPROCESSABLE_ENTITY
    return {GENERAL: error.detail}, STATUS[ConflictError]


def _form_values(form: Form, errors: Errors) -> dict[str, Any]:
    return {
        "form": form,
        "errors": errors,
        "types": EVENT_TYPES,
        "url_length": URL_MAX,
        "description_length": DESCRIPTION_MAX,
    }


def _read(form: Form) -> dict[str, Any]:
    """Return the settings of a form, as JSON has them. Raises FormError."""
    chosen = form.all("events")
    if form.text("events-mode") == "some" and not chosen:
        raise FormError({"events": "Choose at least one type, or all of them."})
    return {
        "url": form.text("url").strip(),
        "description": form.text("description").strip() or None,
        "events": chosen if form.text("events-mode") == "some" else None,
    }


@table.action("/console/webhooks", creates=True)
async def create(request: web.Request, session: Session, form: Form) -> Response:
    """Create a webhook. The answer is the only page that shows its secret."""
    try:
        new = decode_settings(_read(form), NewWebhook)
        created = await create_webhook(request.app, session.owner, new)
    except InvalidError as error:
        return await _list_page(request, session, FormError(errors_of(error)), form)
    except (FormError, ConflictError) as error:
        return await _list_page(request, session, error, form)
    return await webhook_page(
        request, session, created.id, status=HTTPStatus.CREATED, secret=created.secret
    )


@table.page("/console/webhooks/{webhook_id}")
async def show_webhook(request: web.Request, session: Session) -> Response:
    """Show a webhook and its deliveries."""
    return await webhook_page(request, session, request.match_info["webhook_id"])


async def webhook_page(
    request: web.Request,
    session: Session,
    webhook_id: str,
    *,
    status: int = HTTPStatus.OK,
    **values: str,
) -> Response:
    """Return the page of a webhook, with a new secret or a message. Raises NotFoundError."""
    webhooks, user_id = request.app[REPOSITORIES].webhooks, session.owner.user_id
    webhook = await webhooks.get(user_id, webhook_id)

    async def fetch(
        page: Page, query: Mapping[str, str]
    ) -> tuple[list[WebhookDelivery], Page | None]:
        wanted = read_delivery_status(query.get("status"))
        return await webhooks.list_deliveries(user_id, webhook_id, page, status=wanted)

    shown = {"secret": "", "message": "", **values}
    return await show(
        request,
        session,
        "webhook.html",
        status=status,
        webhook=webhook,
        list=await list_view(request, fetch, ("status",)),
        states=get_args(DeliveryStatus),
        done=request.query.get("done"),
        secret=shown["secret"],
        message=shown["message"],
    )


@table.page("/console/webhooks/{webhook_id}/change")
async def changed_webhook(request: web.Request, session: Session) -> Response:
    """Show the form that changes a webhook, with its settings as they are."""
    webhook = await find_webhook(request, session)
    chosen = [("events", event_type) for event_type in webhook.events or ()]
    form = Form(
        [
            ("url", webhook.url),
            ("description", webhook.description or ""),
            ("events-mode", "all" if webhook.events is None else "some"),
            *chosen,
        ]
    )
    return await _change_page(request, session, webhook, form)


async def find_webhook(request: web.Request, session: Session) -> Webhook:
    """Return the webhook that the path names. Raises NotFoundError."""
    webhooks = request.app[REPOSITORIES].webhooks
    return await webhooks.get(session.owner.user_id, request.match_info["webhook_id"])


async def _change_page(
    request: web.Request,
    session: Session,
    webhook: Webhook,
    form: Form,
    error: FormError | None = None,
) -> Response:
    errors, status = _errors_and_status(error)
    values = _form_values(form, errors)
    return await show(
        request, session, "webhook_form.html", status=status, webhook=webhook, **values
    )


@table.action("/console/webhooks/{webhook_id}/change")
async def change(request: web.Request, session: Session, form: Form) -> Response:
    """Change a webhook."""
    webhook = await find_webhook(request, session)
    try:
        values = _read(form)
        current = msgspec.structs.asdict(webhook)
        wanted = {name: value for name, value in values.items() if _listed(current[name]) != value}
        asked = decode_settings(wanted, WebhookChange)
        await change_webhook(request.app, session.owner, webhook.id, asked)
    except InvalidError as error:
        return await _change_page(request, session, webhook, form, FormError(errors_of(error)))
    except FormError as error:
        return await _change_page(request, session, webhook, form, error)
    return redirect(request, f"webhooks/{webhook.id}?done=changed")


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
