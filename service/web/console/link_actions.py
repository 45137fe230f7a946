"""What an owner does with a link: switch it off and on, rotate and revoke it."""

from aiohttp import web

from service.aiohttp_ext.response import Response
from service.domain.errors import ConflictError
from service.domain.links import SharedReportChange
from service.web.app_keys import LINKS, REPOSITORIES
from service.web.console.forms import Form
from service.web.console.links import link_page
from service.web.console.rendering import redirect, show
from service.web.console.routing import ConsoleTable
from service.web.console.sessions import Session
from service.web.link_requests import change_link
from service.web.problems import STATUS

table = ConsoleTable()


@table.action("/console/links/{report_id}/switch")
async def switch(request: web.Request, session: Session, form: Form) -> Response:
    """Switch a link off or on."""
    report_id, is_active = request.match_info["report_id"], form.text("is_active") == "on"
    asked = SharedReportChange(is_active=is_active)
    try:
        await change_link(request.app, session.owner, report_id, asked)
    except ConflictError as error:
        message = error.detail.replace("`", "")
        return await link_page(request, session, status=STATUS[ConflictError], message=message)
    return redirect(request, f"links/{report_id}?done=switched-{'on' if is_active else 'off'}")


@table.page("/console/links/{report_id}/rotate")
async def ask_to_rotate(request: web.Request, session: Session) -> Response:
    """Ask once before a link gets another address."""
    return await _ask(
        request,
        session,
        "Give this link a new address?",
        (
            "The present address stops working at once, for everybody who has it.",
            "All settings and counts of the link stay.",
        ),
        "Give it a new address",
    )


@table.action("/console/links/{report_id}/rotate")
async def rotate(request: web.Request, session: Session, _form: Form) -> Response:
    """Give a link another address."""
    report_id = request.match_info["report_id"]
    await request.app[LINKS].rotate(session.owner.user_id, report_id)
    return redirect(request, f"links/{report_id}?done=rotated")


@table.page("/console/links/{report_id}/revoke")
async def ask_to_revoke(request: web.Request, session: Session) -> Response:
    """Ask once before a link is revoked."""
    return await _ask(
        request,
        session,
        "Revoke this link?",
        (
            "It stops working at once, for everybody, and is deleted with its settings and counts.",
            "It cannot be brought back. To pause it, switch it off instead.",
        ),
        "Revoke the link",
    )


@table.action("/console/links/{report_id}/revoke")
async def revoke(request: web.Request, session: Session, _form: Form) -> Response:
    """Revoke a link."""
    report_id = request.match_info["report_id"]
    await request.app[LINKS].revoke(session.owner.user_id, report_id)
    return redirect(request, "links?done=revoked")


async def _ask(
    request: web.Request, session: Session, title: str, consequences: tuple[str, ...], button: str
) -> Response:
    report_id = request.match_info["report_id"]
    link = await request.app[REPOSITORIES].link_lists.get(session.owner.user_id, report_id)
    return await show(
        request,
        session,
        "confirm.html",
        title=title,
        subject=link.label or f"Link {link.id}",
        consequences=consequences,
        button=button,
        back=f"../{link.id}",
    )
