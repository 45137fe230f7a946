"""What people see: a report's page, its downloads, its QR code, and kind words when it is gone."""

import io
from collections.abc import Callable
from functools import wraps

import segno
from aiohttp import web

from service.context import SHARED_REPORTS
from service.downloads import as_csv, as_json, as_webvtt, file_name
from service.errors import ExpiredError, NotFoundError
from service.models import ReportDocument, WholeReport
from service.pages import render, respond_page
from service.problems import STATUS
from service.proxies import base_url
from service.report import date_text, lay_out, number_text, read_segments
from service.responses import respond_bytes
from service.routing import Handler, RouteTable, off_loop

table = RouteTable()

_GONE = (NotFoundError, ExpiredError)


def _for_people(handler: Handler) -> Handler:
    """A handler whose dead links get a page, with the status that the API would give them."""

    @wraps(handler)
    async def kind(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except _GONE as error:
            expired = date_text(error.expired_at) if isinstance(error, ExpiredError) else None
            body = render("gone.html", expired=expired)
            return respond_page(request, body, status=STATUS[type(error)])

    return kind


@table.public(
    "GET",
    "/r/{share_hash}",
    operation="showReport",
    query=("part",),
    returns=str,
    content_type="text/html",
    problems=_GONE,
)
@_for_people
async def page(request: web.Request) -> web.Response:
    """Show a shared report to a person."""
    share_hash = request.match_info["share_hash"]
    body = await off_loop(_render, share_hash, await _whole(request), _part(request))
    return respond_page(request, body)


def _render(share_hash: str, whole: WholeReport, part: int) -> bytes:
    segments = read_segments(whole.segments)
    return render(
        "report.html",
        report=lay_out(whole.video, whole.expires_at, segments, part),
        segments=segments,
        share_hash=share_hash,
        date_text=date_text,
        number_text=number_text,
    )


@table.public(
    "GET",
    "/r/{share_hash}/analysis.json",
    operation="downloadJson",
    returns=ReportDocument,
    problems=_GONE,
)
@_for_people
async def download_json(request: web.Request) -> web.Response:
    """Download the analysis as JSON."""
    return await _download(request, "application/json", lambda w: as_json(w.video, w.segments))


@table.public(
    "GET",
    "/r/{share_hash}/analysis.csv",
    operation="downloadCsv",
    returns=str,
    content_type="text/csv",
    problems=_GONE,
)
@_for_people
async def download_csv(request: web.Request) -> web.Response:
    """Download the analysis as CSV, one line a segment."""
    return await _download(
        request, "text/csv; charset=utf-8", lambda whole: as_csv(read_segments(whole.segments))
    )


@table.public(
    "GET",
    "/r/{share_hash}/transcript.vtt",
    operation="downloadTranscript",
    returns=str,
    content_type="text/vtt",
    problems=_GONE,
)
@_for_people
async def download_webvtt(request: web.Request) -> web.Response:
    """Download the transcript as WebVTT captions."""
    return await _download(
        request, "text/vtt; charset=utf-8", lambda whole: as_webvtt(read_segments(whole.segments))
    )


@table.public(
    "GET",
    "/r/{share_hash}/qr.svg",
    operation="showQrCode",
    returns=str,
    content_type="image/svg+xml",
    problems=_GONE,
)
@_for_people
async def qr(request: web.Request) -> web.Response:
    """Show the link as a QR code."""
    share_hash = request.match_info["share_hash"]
    await request.app[SHARED_REPORTS].view(share_hash)
    picture = io.BytesIO()
    segno.make(f"{base_url(request)}/r/{share_hash}").save(
        picture, kind="svg", scale=4, light="#fff", title="The link to this report"
    )
    return respond_bytes(picture.getvalue(), content_type="image/svg+xml")


async def _whole(request: web.Request) -> WholeReport:
    return await request.app[SHARED_REPORTS].view_whole(request.match_info["share_hash"])


def _part(request: web.Request) -> int:
    part = request.query.get("part", "1")
    return int(part) if part.isascii() and part.isdecimal() and len(part) < 7 else 1  # noqa: PLR2004 - more than there are


async def _download(
    request: web.Request, content_type: str, write: Callable[[WholeReport], bytes]
) -> web.Response:
    whole = await _whole(request)
    body = await off_loop(write, whole)
    ending = request.path.rpartition(".")[2]
    name = file_name(whole.video.name, ending)
    return respond_bytes(
        body,
        content_type=content_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
