"""What an owner does with a webhook: switch, test, rotate, delete; and with a delivery: retry."""

from aiohttp import web

from service.aiohttp_ext.response import Response
from service.domain.errors import ConflictError
from service.domain.webhooks import WebhookChange
from service.web.app_keys import REPOSITORIES
from service.web.console.forms import Form
from service.web.console.rendering import redirect, show
from service.web.console.routing import ConsoleTable
from service.web.console.sessions import Session
from service.web.console.webhooks import find_webhook, webhook_page
from service.web.problems import STATUS
from service.web.webhook_requests import (
    change_webhook,
    retry_delivery,
    rotate_secret,
    send_test,
)

table = ConsoleTable()


@table.action("/console/webhooks/{webhook_id}/switch")
async def switch(request: web.Request, session: Session, form: Form) -> Response:
    """Switch a webhook off or on."""
    webhook_id, is_active = request.match_info["webhook_id"], form.text("is_active") == "on"
    asked = WebhookChange(is_active=is_active)
    await change_webhook(request.app, session.owner, webhook_id, asked)
    return redirect(request, f"webhooks/{webhook_id}?done=switched-{'on' if is_active else 'off'}")


@table.action("/console/webhooks/{webhook_id}/test", creates=True)
async def test(request: web.Request, session: Session, _form: Form) -> Response:
    """Deliver a test message to a webhook."""
    webhook_id = request.match_info["webhook_id"]
    try:
        await send_test(request.app, session.owner, webhook_id)
    except ConflictError as error:
        return await _conflict(request, session, error)
    return redirect(request, f"webhooks/{webhook_id}?done=tested")


@table.action("/console/webhooks/{webhook_id}/deliveries/{delivery_id}/retry")
async def retry(request: web.Request, session: Session, _form: Form) -> Response:
    """Make a delivery again."""
    webhook_id = request.match_info["webhook_id"]
    try:
        await retry_delivery(
            request.app, session.owner, webhook_id, request.match_info["delivery_id"]
        )
    except ConflictError as error:
        return await _conflict(request, session, error)
    return redirect(request, f"webhooks/{webhook_id}?done=retried")


async def _conflict(request: web.Request, session: Session, error: ConflictError) -> Response:
    webhook_id, message = request.match_info["webhook_id"], error.detail.replace("`", "")
    return await webhook_page(
        request, session, webhook_id, status=STATUS[ConflictError], message=message
    )


@table.page("/console/webhooks/{webhook_id}/rotate")
async def ask_to_rotate_secret(request: web.Request, session: Session) -> Response:
    """Ask once before a webhook gets a new secret."""
    return await _ask(
        request,
        session,
        "Give this webhook a new secret?",
        ("The present secret signs beside the new one for 24 hours, and is then worth nothing.",),
        "Make a new secret",
    )


@table.action("/console/webhooks/{webhook_id}/rotate")
async def rotate_webhook(request: web.Request, session: Session, _form: Form) -> Response:
    """Give a webhook a new secret. The answer is the only page that shows it."""
    webhook_id = request.match_info["webhook_id"]
    rotated = await rotate_secret(request.app, session.owner, webhook_id)
    return await webhook_page(request, session, webhook_id, secret=rotated.secret)


@table.page("/console/webhooks/{webhook_id}/delete")
async def ask_to_delete_webhook(request: web.Request, session: Session) -> Response:
    """Ask once before a webhook is deleted."""
    return await _ask(
        request,
        session,
        "Delete this webhook?",
        (
            "Its deliveries are deleted with it, and those that are pending are not made.",
            "To pause it, switch it off instead.",
        ),
        "Delete the webhook",
    )


@table.action("/console/webhooks/{webhook_id}/delete")
async def delete_webhook(request: web.Request, session: Session, _form: Form) -> Response:
    """Delete a webhook."""
    webhook_id = request.match_info["webhook_id"]
    await request.app[REPOSITORIES].webhooks.delete(session.owner.user_id, webhook_id)
    return redirect(request, "webhooks?done=deleted")


async def _ask(
    request: web.Request, session: Session, title: str, consequences: tuple[str, ...], button: str
) -> Response:
    webhook = await find_webhook(request, session)
    return await show(
        request,
        session,
        "confirm.html",
        title=title,
        subject=webhook.description or webhook.url,
        consequences=consequences,
        button=button,
        back=f"../{webhook.id}",
    )
