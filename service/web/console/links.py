"""Links: a list of all, and one link with its address and its settings."""

import io
from collections.abc import Mapping
from typing import get_args

import segno
from aiohttp import web

from service.aiohttp_ext.response import Response, raw_response
from service.domain.links import LinkState, SharedReport
from service.domain.paging import Page
from service.domain.validation import read_filter
from service.web.app_keys import POOLS, REPOSITORIES
from service.web.console.fields import FIELDS, Field
from service.web.console.lists import decode_links, list_view
from service.web.console.rendering import show
from service.web.console.routing import ConsoleTable
from service.web.console.sessions import Session
from service.web.console.statistics import recent_plot
from service.web.console.videos import LINK_FILTERS
from service.web.console.words import date_words
from service.web.proxies import base_url
from service.web.report_responses import is_connected

table = ConsoleTable()

_MEANINGS = {
    "active": "Anyone with the address sees the report.",
    "scheduled": "It begins to work later; until then it looks as if it did not exist.",
    "expired": "Its time is over. It works again if you change when it expires.",
    "exhausted": "Its views are used up. It works again if you allow more.",
    "inactive": "You have switched it off: it looks as if it did not exist.",
}


@table.page("/console/links")
async def list_links(request: web.Request, session: Session) -> Response:
    """List the links of all videos, newest first."""
    repositories, user_id = request.app[REPOSITORIES], session.owner.user_id

    async def fetch(page: Page, query: Mapping[str, str]) -> tuple[list[SharedReport], Page | None]:
        wanted, video = read_filter(query), query.get("video_id")
        return await decode_links(repositories.link_lists.list_all(user_id, page, wanted, video))

    links = await list_view(request, fetch, (*LINK_FILTERS, "video_id"))
    ids = [link.video_id for link in links.rows]
    return await show(
        request,
        session,
        "links.html",
        list=links,
        videos=await repositories.summaries.of_videos(user_id, ids) if ids else {},
        states=get_args(LinkState),
        done=request.query.get("done"),
    )


@table.page("/console/links/{report_id}")
async def show_link(request: web.Request, session: Session) -> Response:
    """Show a link: its address, its settings, and what can be done with it."""
    return await link_page(request, session)


async def link_page(
    request: web.Request, session: Session, *, status: int = 200, message: str = ""
) -> Response:
    """Return the page of the request's link, with a message if something could not be done."""
    repositories, user_id = request.app[REPOSITORIES], session.owner.user_id
    link = await repositories.link_lists.get(user_id, request.match_info["report_id"])
    videos = await repositories.summaries.of_videos(user_id, [link.video_id])
    return await show(
        request,
        session,
        "link.html",
        status=status,
        link=link,
        video=videos[link.video_id],
        plot=await recent_plot(request, session, link.id),
        address=address_of(request, link),
        meaning=_MEANINGS[link.status],
        settings=[(field.title, setting_words(field, link)) for field in FIELDS],
        done=request.query.get("done"),
        message=message,
    )


def address_of(request: web.Request, link: SharedReport) -> str:
    """Return the public address of a link. Raises what ``base_url`` raises."""
    return f"{base_url(request)}/r/{link.share_hash}"


def setting_words(field: Field, link: SharedReport) -> str:
    """Return a setting of a link in words."""
    if field.kind == "password":
        return "yes" if link.has_password else "none"
    if field.kind == "switch":
        return "no" if link.status == "inactive" else "yes"
    value = getattr(link, field.name)
    if field.kind == "time":
        return date_words(value, "at once" if field.name == "not_before" else "never")
    if field.kind == "modules":
        return "all" if value is None else ", ".join(value)
    if field.kind == "number":
        return "any number" if value is None else f"{value:,}"
    return value or "none"


@table.page("/console/links/{report_id}/qr.svg")
async def show_qr_code(request: web.Request, session: Session) -> Response:
    """Show the address of a link as a QR code, also of one that does not work now."""
    report_id = request.match_info["report_id"]
    link = await request.app[REPOSITORIES].link_lists.get(session.owner.user_id, report_id)
    picture = await request.app[POOLS].console.run(
        _qr_code,
        address_of(request, link),
        caller=f"user {session.owner.user_id}",
        is_wanted=is_connected(request),
    )
    return raw_response(picture, content_type="image/svg+xml")


def _qr_code(address: str) -> bytes:
    picture = io.BytesIO()
    segno.make(address).save(picture, kind="svg", scale=4, light="#fff", title="The link")
    return picture.getvalue()
