"""Links: create, view, revoke, list."""

from aiohttp import hdrs, web

from service import clock
from service.context import NOW, SHARED_REPORTS, SWEEPER
from service.errors import ExpiredError, InvalidError, NotFoundError
from service.models import Done, NewSharedReport, Owner, PublicReport, Segment, SharedReport
from service.proxies import base_url
from service.responses import respond, respond_bytes
from service.routing import RouteTable, prefers_html, read_json

table = RouteTable()


@table.owned(
    "POST",
    "/api/shared-reports",
    operation="createSharedReport",
    body=NewSharedReport,
    returns=SharedReport,
    status=201,
    headers=("Location", "Link"),
    problems=(NotFoundError,),
)
async def create(request: web.Request, owner: Owner) -> web.Response:
    """Create a shared report for a video.

    The link works at once. It dies when it expires, when it is revoked, and with its video.
    """
    new = await read_json(request, NewSharedReport)
    expires_at = _future(new.expires_at, request.app[NOW]())
    report = await request.app[SHARED_REPORTS].create(owner.user_id, new.video_id, expires_at)
    request.app[SWEEPER].expect(expires_at)
    base = base_url(request)
    headers = {
        "Location": f"{base}/api/shared-reports/{report.share_hash}",
        "Link": f'<{base}/r/{report.share_hash}>; rel="alternate"; type="text/html"',
    }
    return respond(report, status=201, headers=headers)


@table.public(
    "GET",
    "/api/shared-reports/{share_hash}",
    operation="viewSharedReport",
    returns=PublicReport,
    redirects="A browser, whose `Accept` prefers HTML, is sent to the page.",
    problems=(NotFoundError, ExpiredError),
)
async def view(request: web.Request) -> web.Response:
    """View a shared report. No authentication required."""
    share_hash = request.match_info["share_hash"]
    if prefers_html(request.headers.get(hdrs.ACCEPT, "")):
        return respond_bytes(
            b"", status=302, headers={"Location": f"{base_url(request)}/r/{share_hash}"}
        )
    return respond(await request.app[SHARED_REPORTS].view(share_hash))


@table.public(
    "GET",
    "/api/shared-reports/{share_hash}/segments",
    operation="viewSharedReportSegments",
    query=("module",),
    returns=list[Segment],
    problems=(NotFoundError, ExpiredError),
)
async def view_segments(request: web.Request) -> web.Response:
    """View the analysis behind a shared report, ordered by start time."""
    whole = await request.app[SHARED_REPORTS].view_whole(
        request.match_info["share_hash"], request.query.get("module")
    )
    return respond_bytes(whole.segments)


@table.owned(
    "DELETE",
    "/api/shared-reports/{report_id}",
    operation="revokeSharedReport",
    returns=Done,
    problems=(NotFoundError,),
)
async def revoke(request: web.Request, owner: Owner) -> web.Response:
    """Delete a shared report, revoking access.

    The link is dead when the answer arrives.
    """
    await request.app[SHARED_REPORTS].revoke(owner.user_id, request.match_info["report_id"])
    return respond(Done())


@table.owned(
    "GET",
    "/api/videos/{job_id}/shared-reports",
    operation="listSharedReports",
    returns=list[SharedReport],
    problems=(NotFoundError,),
)
async def list_for_video(request: web.Request, owner: Owner) -> web.Response:
    """List all shared reports for a specific video, newest first, dead ones included."""
    reports = await request.app[SHARED_REPORTS].list_for_video(
        owner.user_id, request.match_info["job_id"]
    )
    return respond(reports)


def _future(text: str | None, now: str) -> str | None:
    if text is None:
        return None
    try:
        expires_at = clock.parse(text)
    except ValueError as error:
        raise InvalidError("`expires_at` is not an ISO 8601 date-time.") from error
    if expires_at <= now:
        raise InvalidError(f"`expires_at` is not in the future; it is {now} (UTC) now.")
    return expires_at
