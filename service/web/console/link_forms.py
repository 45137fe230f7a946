"""The forms that create and change a link. Their fields follow from ``LinkSettings``."""

import hashlib
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from service.aiohttp_ext.response import Response
from service.domain.errors import ConflictError, InvalidError, LimitedError, ServiceError
from service.domain.link_rules import LinkRules
from service.domain.links import NewSharedReport, SharedReport, SharedReportChange
from service.domain.videos import Video
from service.web.app_keys import CONFIG, NOW, REPOSITORIES
from service.web.console.fields import FIELDS, NEW_FIELDS, Field
from service.web.console.forms import Form
from service.web.console.rendering import redirect, show
from service.web.console.routing import ConsoleTable
from service.web.console.sessions import Session
from service.web.console.settings import (
    GENERAL,
    UNITS,
    FormError,
    decode_settings,
    errors_of,
    form_of,
    read_settings,
)
from service.web.console.videos import find_video
from service.web.link_requests import change_link, create_link
from service.web.problems import STATUS

table = ConsoleTable()

_BOXES_MAX = 100
"""Modules of a video that the form offers; others can be typed."""
_CHANGED_MEANWHILE = (
    "The link was changed meanwhile, perhaps in another window. Below is what you typed: send it "
    "again if it is to hold."
)
_SENT_TWICE = "This form has created a link already. Send it again to create another one."


async def _show_form(
    request: web.Request,
    session: Session,
    fields: tuple[Field, ...],
    form: Form,
    error: FormError | ServiceError | None = None,
    **values: Any,
) -> Response:
    errors: Mapping[str, str] = {}
    status = HTTPStatus.OK
    if isinstance(error, FormError):
        errors, status = error.errors, HTTPStatus.UNPROCESSABLE_ENTITY
    elif isinstance(error, InvalidError):
        errors, status = errors_of(error), STATUS[InvalidError]
    elif error is not None:
        errors, status = {GENERAL: error.detail.replace("`", "")}, STATUS[type(error)]
    names = {field.name for field in fields}
    general = [text for name, text in errors.items() if name not in names]
    return await show(
        request,
        session,
        "link_form.html",
        status=status,
        fields=fields,
        form=form,
        errors=errors,
        general=general,
        units=tuple(UNITS),
        **values,
    )


async def _modules_of(
    request: web.Request, session: Session, video: Video, form: Form
) -> list[str]:
    """Return the modules that the form offers: the video's, and those that are chosen already."""
    known = await request.app[REPOSITORIES].links.find_modules(session.owner.user_id, video.job_id)
    return list(dict.fromkeys([*list(known)[:_BOXES_MAX], *form.all("modules")]))


@table.page("/console/videos/{video_id}/share")
async def new_link(request: web.Request, session: Session) -> Response:
    """Show the form that creates a link."""
    video = await find_video(request, session.owner)
    defaults = _defaults(request.app[CONFIG].link_rules)
    return await _new_form(request, session, video, defaults)


def _defaults(rules: LinkRules) -> Form:
    """Return the form of a new link by the operator's rules. A new setting is empty at first."""
    days = rules.default_lifetime_days or rules.max_lifetime_days
    return Form(
        (
            ("expires_at-mode", "after" if days else "none"),
            ("expires_at-number", str(days or "")),
            ("not_before-mode", "none"),
            ("password-mode", "new" if rules.requires_password else "none"),
            ("modules-mode", "all"),
        )
    )


async def _new_form(
    request: web.Request,
    session: Session,
    video: Video,
    form: Form,
    error: FormError | ServiceError | None = None,
) -> Response:
    key = form.text("key")
    if isinstance(error, InvalidError) and "Idempotency-Key" in error.detail:
        error, key = FormError({GENERAL: _SENT_TWICE}), ""
    return await _show_form(
        request,
        session,
        NEW_FIELDS,
        form,
        error,
        title="Create a link",
        button="Create the link",
        video=video,
        back=f"../{video.id}",
        has_password=False,
        hidden={"key": key or secrets.token_hex(16)},
        modules=await _modules_of(request, session, video, form),
    )


@table.action("/console/videos/{video_id}/share", creates=True)
async def create(request: web.Request, session: Session, form: Form) -> Response:
    """Create a link. A form that is sent twice creates one link."""
    video = await find_video(request, session.owner)
    try:
        values = read_settings(NEW_FIELDS, form, request.app[NOW]())
        new = decode_settings({"video_id": video.job_id} | values, NewSharedReport)
        link, _ = await create_link(request.app, session.owner, new, form.text("key") or None)
    except (FormError, InvalidError, ConflictError, LimitedError) as error:
        return await _new_form(request, session, video, form, error)
    return redirect(request, f"links/{link.id}?done=created")


@table.page("/console/links/{report_id}/change")
async def changed_link(request: web.Request, session: Session) -> Response:
    """Show the form that changes a link, with its settings as they are."""
    link = await _link(request, session)
    return await _change_form(request, session, link, form_of(link, FIELDS))


async def _link(request: web.Request, session: Session) -> SharedReport:
    return await request.app[REPOSITORIES].link_lists.get(
        session.owner.user_id, request.match_info["report_id"]
    )


async def _change_form(
    request: web.Request,
    session: Session,
    link: SharedReport,
    form: Form,
    error: FormError | ServiceError | None = None,
) -> Response:
    repositories, user_id = request.app[REPOSITORIES], session.owner.user_id
    summary = (await repositories.summaries.of_videos(user_id, [link.video_id]))[link.video_id]
    video = await repositories.videos.get(user_id, summary.job_id)
    return await _show_form(
        request,
        session,
        FIELDS,
        form,
        error,
        title="Change the link",
        button="Save",
        video=video,
        back=f"../{link.id}",
        has_password=link.has_password,
        hidden={"version": _version(link)},
        modules=await _modules_of(request, session, video, form),
    )


@table.action("/console/links/{report_id}/change")
async def change(request: web.Request, session: Session, form: Form) -> Response:
    """Change what differs from the link as it is."""
    link = await _link(request, session)
    try:
        wanted = _differences(link, form, request.app[NOW]())
        if wanted:
            asked = decode_settings(wanted, SharedReportChange)
            await change_link(request.app, session.owner, link.id, asked)
    except (FormError, InvalidError, ConflictError, LimitedError) as error:
        return await _change_form(request, session, link, form, error)
    return redirect(request, f"links/{link.id}?done=changed")


def _differences(link: SharedReport, form: Form, now: str) -> dict[str, Any]:
    """Return the settings in which a form differs from the link. Raises FormError."""
    values = read_settings(FIELDS, form, now)
    if form.text("version") != _version(link):
        raise FormError({GENERAL: _CHANGED_MEANWHILE})
    current = read_settings(FIELDS, form_of(link, FIELDS), now)
    return {
        name: value
        for name, value in values.items()
        if name not in current or value != current[name]
    }


def _version(link: SharedReport) -> str:
    """Return a digest of a link's settings, by which a form knows that they have changed."""
    settings = [(field.name, getattr(link, field.name, None)) for field in FIELDS]
    settings += [("has_password", link.has_password), ("status", link.status == "inactive")]
    return hashlib.sha256(msgspec.json.encode(settings)).hexdigest()[:32]
