"""Links: create, list, view, change, revoke."""

from functools import partial
from urllib.parse import quote

from aiohttp import hdrs, web

from service.aiohttp_ext.response import Response, json_response, raw_response
from service.domain.access import AccessGrant, UnlockRequest
from service.domain.errors import (
    INACTIVE_LINK_ERRORS,
    PROTECTED_LINK_ERRORS,
    ConflictError,
    ExhaustedError,
    InvalidError,
    MalformedError,
    NotFoundError,
    OpenRequiredError,
    PasswordRequiredError,
)
from service.domain.idempotency import check_key
from service.domain.links import (
    AllRevoked,
    NewSharedReport,
    PublicReport,
    ReportWithAnalysis,
    SharedReport,
    SharedReportChange,
)
from service.domain.normal_form import nfc
from service.domain.paging import FIRST_PAGE
from service.domain.segments import select_modules
from service.domain.types import Done, Owner
from service.domain.validation import (
    read_filter,
)
from service.domain.videos import Segment
from service.web.app_keys import (
    ACCESS,
    LINKS,
    POOLS,
    REPOSITORIES,
)
from service.web.bots import is_bot
from service.web.content_negotiation import prefers_html
from service.web.link_requests import change_link, create_link, revoke_links
from service.web.paging import requested_page, respond_with_list, respond_with_page
from service.web.proxies import base_url
from service.web.render_cache import Name
from service.web.report_responses import respond_with_report
from service.web.request_body import read_json
from service.web.routing import RouteTable
from service.web.unlocking import HEADER, token_of, unlock_link

table = RouteTable("Shared reports")


@table.owned(
    "POST",
    "/api/shared-reports",
    operation="createSharedReport",
    creates=True,
    body=NewSharedReport,
    returns=SharedReport,
    status=201,
    takes=("Idempotency-Key",),
    headers=("Location", "Link", "Idempotency-Replayed"),
    problems=(NotFoundError, ConflictError),
)
async def create(request: web.Request, owner: Owner) -> Response:
    """Create a shared report for a video.

    The link works at once, or from `not_before` on, until it expires, is revoked, or its video is
    deleted.

    A call with an `Idempotency-Key` may be made again for 24 hours: it gets the same answer, and
    makes no second link. With another body the key is refused.
    """
    new = await read_json(request, NewSharedReport)
    base = base_url(request)
    report, is_replayed = await create_link(
        request.app, owner, new, request.headers.get("Idempotency-Key")
    )
    response = json_response(report, status=201)
    response.add_lines(_addresses(base, report))
    if is_replayed:
        response.add_headers({"Idempotency-Replayed": "true"})
    return response


@table.owned(
    "GET",
    "/api/shared-reports",
    operation="listAllSharedReports",
    query=("status", "video_id", "label", "expires_before", "limit", "cursor"),
    returns=list[SharedReport],
    headers=("Link-Next",),
    problems=(InvalidError, MalformedError, ConflictError),
)
async def list_all(request: web.Request, owner: Owner) -> Response:
    """List the shared reports of all videos, newest first, inactive ones included.

    The list has pages; the `Link` header names the next one.
    """
    fetch = partial(
        request.app[REPOSITORIES].link_lists.list_all,
        owner.user_id,
        wanted=read_filter(request.query),
        video=request.query.get("video_id"),
    )
    return await respond_with_page(request, fetch, requested_page(request) or FIRST_PAGE)


@table.public(
    "GET",
    "/api/shared-reports/{share_hash}",
    operation="viewSharedReport",
    returns=PublicReport,
    redirects="A browser, whose `Accept` prefers HTML, is sent to the page.",
    takes=(HEADER,),
    headers=(HEADER,),
    problems=(*INACTIVE_LINK_ERRORS, *PROTECTED_LINK_ERRORS, MalformedError),
)
async def view(request: web.Request) -> Response:
    """View a shared report. No authentication required.

    If the link's views are limited, each call counts as one view and returns an `X-Share-Token`,
    with which the report can be read for 15 minutes without another view. If the link has a
    password, the call needs the token that `unlock` returns.

    Crawlers, prefetches and HEAD are counted in `bot_view_count`, and unlock no link.
    """
    share_hash = request.match_info["share_hash"]
    if prefers_html(request.headers.get(hdrs.ACCEPT, "")):
        page = f"{base_url(request)}/r/{quote(share_hash, '', errors='replace')}"
        return raw_response(b"", status=302, headers={"Location": page})
    links = request.app[LINKS]
    viewed = await links.view(share_hash)
    if viewed is None:
        return await _view_protected(request, share_hash)
    link_id, report = viewed
    links.views.count(link_id, "bot" if is_bot(request, reads_page=False) else "api")
    return raw_response(report)


async def _view_protected(request: web.Request, share_hash: str) -> Response:
    """Return a protected link's report, unlocking the link if it requires no password."""
    access, token = request.app[ACCESS], token_of(request)
    try:
        return raw_response(await access.view(share_hash, token))
    except OpenRequiredError:
        # Neither an expired token nor a bot must cost a view.
        if token is not None or is_bot(request, reads_page=False):
            raise
    opened = await access.unlock(await access.requirements(share_hash))
    report = await access.view(share_hash, opened.token)
    return raw_response(report, headers={HEADER: opened.token})


@table.public(
    "POST",
    "/api/shared-reports/{share_hash}/unlock",
    operation="unlockSharedReport",
    body=UnlockRequest,
    returns=AccessGrant,
    takes=("Idempotency-Key",),
    problems=(*INACTIVE_LINK_ERRORS, PasswordRequiredError),
)
async def unlock(request: web.Request) -> Response:
    """Unlock a shared report that has a password or limited views.

    This counts as a view. The token is valid for 15 minutes: the report, its analysis and its
    downloads can be read with it without another view. It ends earlier if the link expires, is
    revoked, or gets another hash, password or limit.

    A call with an `Idempotency-Key` may be made again: within these 15 minutes it gets the same
    token, and is no second view.
    """
    key = request.headers.get("Idempotency-Key")
    if key is not None:
        check_key(key)
    try:  # no link, no waiting for a body
        await request.app[ACCESS].requirements(request.match_info["share_hash"])
    except ExhaustedError:
        if key is None:
            raise  # with a key it may be the call that took the last view, made again
    asked = await read_json(request, UnlockRequest, has_key=False)
    return json_response(await unlock_link(request, asked.password, key, is_page=False))


@table.public(
    "GET",
    "/api/shared-reports/{share_hash}/segments",
    operation="viewSharedReportSegments",
    query=("module",),
    returns=list[Segment],
    takes=(HEADER,),
    problems=(*INACTIVE_LINK_ERRORS, *PROTECTED_LINK_ERRORS),
)
async def view_segments(request: web.Request) -> Response:
    """View the analysis behind a shared report, ordered by start time.

    It has the modules that the link shows. It counts no view.
    """
    module = request.query.get("module")
    name = ("segments",) if module is None else ("segments", module)

    def make(report: ReportWithAnalysis) -> tuple[Response, Name | None]:
        if module is None:
            return raw_response(report.segments), name
        segments = select_modules(report.segments, (module, nfc(module)))
        # Any name may be asked for, so an empty answer is not kept.
        return raw_response(segments), name if len(segments) > len(b"[]") else None

    downloads = request.app[POOLS].downloads
    return await respond_with_report(request, name, downloads, make)


@table.owned(
    "PATCH",
    "/api/shared-reports/{report_id}",
    operation="changeSharedReport",
    body=SharedReportChange,
    returns=SharedReport,
    problems=(NotFoundError, ConflictError),
)
async def change(request: web.Request, owner: Owner) -> Response:
    """Change a shared report, or switch it off and on.

    Fields that are left out stay as they are. If `is_active` is true and the link would still be
    expired or exhausted, nothing is changed.
    """
    asked = await read_json(request, SharedReportChange)
    report = await change_link(request.app, owner, request.match_info["report_id"], asked)
    return json_response(report)


@table.owned(
    "POST",
    "/api/shared-reports/{report_id}/rotate",
    operation="rotateSharedReport",
    returns=SharedReport,
    headers=("Location", "Link"),
    problems=(NotFoundError, MalformedError),
)
async def rotate(request: web.Request, owner: Owner) -> Response:
    """Give a shared report a new hash.

    The old hash no longer works when the response arrives; all else stays as it is.
    """
    base = base_url(request)
    report = await request.app[LINKS].rotate(owner.user_id, request.match_info["report_id"])
    response = json_response(report)
    response.add_lines(_addresses(base, report))
    return response


@table.owned(
    "DELETE",
    "/api/shared-reports/{report_id}",
    operation="revokeSharedReport",
    returns=Done,
    problems=(NotFoundError,),
)
async def revoke(request: web.Request, owner: Owner) -> Response:
    """Delete a shared report, revoking access.

    The link no longer works when the response arrives.
    """
    await request.app[LINKS].revoke(owner.user_id, request.match_info["report_id"])
    return json_response(Done())


@table.owned(
    "GET",
    "/api/videos/{job_id}/shared-reports",
    operation="listSharedReports",
    query=("status", "label", "expires_before", "limit", "cursor"),
    returns=list[SharedReport],
    headers=("Link-Next",),
    problems=(NotFoundError, InvalidError, MalformedError),
)
async def list_for_video(request: web.Request, owner: Owner) -> Response:
    """List all shared reports for a specific video, newest first, inactive ones included.

    All of them, or with `limit` or `cursor` a page, whose `Link` header leads to the next.
    """
    fetch = partial(
        request.app[REPOSITORIES].link_lists.list_for_video,
        owner.user_id,
        request.match_info["job_id"],
        wanted=read_filter(request.query),
    )
    return await respond_with_list(request, fetch)


@table.owned(
    "DELETE",
    "/api/videos/{job_id}/shared-reports",
    operation="revokeSharedReports",
    returns=AllRevoked,
    problems=(NotFoundError,),
)
async def revoke_all(request: web.Request, owner: Owner) -> Response:
    """Delete all shared reports of a video at once, revoking access.

    The links no longer work when the response arrives. The video stays.
    """
    deleted = await revoke_links(request.app, owner, request.match_info["job_id"])
    return json_response(AllRevoked(deleted=deleted))


def _addresses(base: str, report: SharedReport) -> str:
    """Return the header lines with the addresses of a link and of its page."""
    return (
        f"Location: {base}/api/shared-reports/{report.share_hash}\r\n"
        f'Link: <{base}/r/{report.share_hash}>; rel="alternate"; type="text/html"\r\n'
    )
