"""Pages for people: a report, its downloads, its QR code, the unlock form, and dead links."""

import io
import secrets
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus

import msgspec
import segno
from aiohttp import web

from service.aiohttp_ext.response import Response, raw_response
from service.concurrency.bounded_pool import Place
from service.domain.access import UnlockForm
from service.domain.errors import (
    INACTIVE_LINK_ERRORS,
    PROTECTED_LINK_ERRORS,
    ExhaustedError,
    ExpiredError,
    LimitedError,
    MalformedError,
    OpenRequiredError,
    PasswordRequiredError,
    ServiceError,
    TooLargeError,
    TooSlowError,
)
from service.domain.links import Link, ReportWithAnalysis
from service.domain.normal_form import nfc
from service.domain.segments import decode_segments, select_modules
from service.domain.videos import ReportDocument
from service.web.app_keys import ACCESS, POOLS
from service.web.authentication import apply_guess_limit
from service.web.compression import compress_made, is_accepted
from service.web.pages.downloads import as_csv, as_json, as_webvtt, content_disposition
from service.web.pages.pasted import has_punctuation, redirect_to_link
from service.web.pages.rendering import HTML, page_response, render
from service.web.pages.report_view import date_text, lay_out, number_text
from service.web.problems import STATUS, extra_headers
from service.web.proxies import base_url
from service.web.render_cache import Name, Render, Rendering
from service.web.report_responses import (
    Counted,
    encoded_name,
    respond_rendered,
    respond_with_report,
)
from service.web.request_body import read_form
from service.web.routing import Handler, RouteTable
from service.web.unlocking import HEADER, cookie, token_of, unlock_link

table = RouteTable("Pages")

_FREED_AT_ONCE = 1_000


def _for_people(handler: Handler) -> Handler:
    """Show a page for a dead or protected link, with the status that the API gives it."""

    @wraps(handler)
    async def show_errors(request: web.Request) -> Response:
        try:
            return await handler(request)
        except INACTIVE_LINK_ERRORS as error:
            expired = date_text(error.expired_at) if isinstance(error, ExpiredError) else None
            exhausted = isinstance(error, ExhaustedError)
            body = render("gone.html", expired=expired, exhausted=exhausted)
            limited = apply_guess_limit(request, error)
            return page_response(
                request, body, status=STATUS[type(limited)], headers=extra_headers(limited)
            )
        except (*PROTECTED_LINK_ERRORS, LimitedError) as error:
            return _unlock_form(request, error, STATUS[type(error)])

    return show_errors


def _unlock_form(request: web.Request, error: ServiceError, status: HTTPStatus) -> Response:
    """The form that unlocks the request's link. It shows nothing of the report."""
    message = ""
    if isinstance(error, PasswordRequiredError) and error.is_wrong:
        message = "This is not the password."
    elif isinstance(error, LimitedError):
        message = f"Too many tries. Wait {error.retry_after} s and try again."
    is_page = request.path.endswith(request.match_info["share_hash"])
    body = render(
        "open.html",
        # A download would leave the form on the screen, so its form leads to the page.
        action=_page_address(request) if is_page else f"../{request.match_info['share_hash']}",
        asks_password=not isinstance(error, OpenRequiredError),
        message=message,
        key=secrets.token_hex(16),
    )
    headers = extra_headers(error) if status >= HTTPStatus.BAD_REQUEST else {}
    return page_response(request, body, status=status, headers=headers)


def _page_address(request: web.Request) -> str:
    """Return the page's address with the request's query, relative: a proxy may add a path."""
    share_hash, query = request.match_info["share_hash"], request.rel_url.raw_query_string
    return f"{share_hash}?{query}" if query else share_hash


@table.public(
    "GET",
    "/r/{share_hash}",
    operation="showReport",
    query=("part",),
    returns=str,
    redirects="To the page of a known link, if punctuation or a slash follows its share hash.",
    content_type="text/html",
    takes=(HEADER,),
    problems=(*INACTIVE_LINK_ERRORS, *PROTECTED_LINK_ERRORS),
)
@_for_people
async def page(request: web.Request) -> Response:
    """Show a shared report to a person.

    A long report comes in parts; only the address without `part` counts a view. A protected link
    shows the form that unlocks it.
    """
    share_hash, part = request.match_info["share_hash"], _part(request)
    if has_punctuation(share_hash):
        return await redirect_to_link(request)

    def make(report: ReportWithAnalysis) -> tuple[Response, Name]:
        body, shown_part = _render(share_hash, report, part)
        return page_response(request, body), _page_name(shown_part)

    name, rendering = _page_name(part), request.app[POOLS].rendering
    # A move to another part is within the same view.
    counts: Counted | None = None if "part" in request.query else "page"
    try:
        return await respond_with_report(request, name, rendering, make, counts=counts)
    except OpenRequiredError as error:  # the first visit of a limited link is no error
        return _unlock_form(request, error, HTTPStatus.OK)


slash_page = _for_people(redirect_to_link)
"""The handler of a page's address with a slash behind. It is not published."""


def _page_name(part: int) -> Name:
    return "page", str(part)


def _render(share_hash: str, report: ReportWithAnalysis, part: int) -> tuple[bytes, int]:
    """The page, and the part that it shows: the nearest one if the wanted part does not exist."""
    segments = list(decode_segments(report.segments))
    layout = lay_out(
        report.video, report.link.expires_at, segments, part, f"{share_hash}/analysis.json"
    )
    page = render(
        "report.html",
        report=layout,
        share_hash=share_hash,
        date_text=date_text,
        number_text=number_text,
    )
    while segments:  # to free 100,000 at once would hold the interpreter lock for 30 ms
        del segments[-_FREED_AT_ONCE:]
    return page, layout.part


@table.public(
    "POST",
    "/r/{share_hash}",
    operation="openReport",
    form=UnlockForm,
    returns=str,
    content_type="text/html",
    status=303,
    headers=("Location", "Set-Cookie"),
    problems=(
        *INACTIVE_LINK_ERRORS,
        PasswordRequiredError,
        MalformedError,
        TooLargeError,
        TooSlowError,
    ),
)
@_for_people
async def unlock_page(request: web.Request) -> Response:
    """Unlock a shared report, as the form on its page does.

    This counts as a view. It sets a cookie for 15 minutes, with which the page and its downloads
    cost no further view. It leads back to the part that was asked for.
    """
    base_url(request)  # raises before a view is counted
    headers = {"Location": _page_address(request)}
    try:
        await request.app[ACCESS].check(request.match_info["share_hash"], token_of(request))
    except (*PROTECTED_LINK_ERRORS, ExhaustedError) as error:
        fields = await read_form(request)
        key = fields.get("key") or None
        if key is None and isinstance(error, ExhaustedError):
            raise
        opened = await unlock_link(request, fields.get("password"), key, is_page=True)
        headers["Set-Cookie"] = cookie(request, opened)
    return raw_response(b"", status=303, content_type=HTML, headers=headers)


@table.public(
    "GET",
    "/r/{share_hash}/analysis.json",
    operation="downloadJson",
    returns=ReportDocument,
    takes=(HEADER,),
    problems=(*INACTIVE_LINK_ERRORS, *PROTECTED_LINK_ERRORS),
)
@_for_people
async def download_json(request: web.Request) -> Response:
    """Download the analysis as JSON.

    One document with the video and its segments. It counts no view.
    """
    return await _download(
        request, "application/json", lambda report: as_json(report.video, report.segments)
    )


@table.public(
    "GET",
    "/r/{share_hash}/analysis.csv",
    operation="downloadCsv",
    query=("excel",),
    returns=str,
    content_type="text/csv",
    takes=(HEADER,),
    problems=(*INACTIVE_LINK_ERRORS, *PROTECTED_LINK_ERRORS),
)
@_for_people
async def download_csv(request: web.Request) -> Response:
    """Download the analysis as CSV, one line a segment.

    In UTF-8, with a header line. With `excel=1` it begins with a byte order mark, without which
    Excel takes it for another encoding. It counts no view.
    """
    has_mark = request.query.get("excel") == "1"
    return await _download(
        request,
        "text/csv; charset=utf-8",
        lambda report: as_csv(report.segments, has_mark=has_mark),
        variant="excel" if has_mark else "",
    )


@table.public(
    "GET",
    "/r/{share_hash}/transcript.vtt",
    operation="downloadTranscript",
    query=("module",),
    returns=str,
    content_type="text/vtt",
    takes=(HEADER,),
    problems=(*INACTIVE_LINK_ERRORS, *PROTECTED_LINK_ERRORS),
)
@_for_people
async def download_webvtt(request: web.Request) -> Response:
    """Download the transcript as WebVTT captions: of one module, or of the first transcript.

    One cue for each segment with text. It counts no view.
    """
    module = request.query.get("module")
    return await _download(
        request,
        "text/vtt; charset=utf-8",
        lambda report: as_webvtt(decode_segments(report.segments), module),
        module,
    )


@table.public(
    "GET",
    "/r/{share_hash}/qr.svg",
    operation="showQrCode",
    returns=str,
    content_type="image/svg+xml",
    takes=(HEADER,),
    problems=(*INACTIVE_LINK_ERRORS, *PROTECTED_LINK_ERRORS, MalformedError),
)
@_for_people
async def qr(request: web.Request) -> Response:
    """Show the link as a QR code.

    An SVG picture of the page's address. It counts no view.
    """
    share_hash = request.match_info["share_hash"]
    # Before the Host: an unknown hash gets 404, whatever else is wrong. It may be of any length.
    await request.app[ACCESS].check(share_hash, token_of(request))
    address = f"{base_url(request)}/r/{share_hash}"
    is_gzip = is_accepted(request)
    name = encoded_name(("qr", address), is_gzip=is_gzip)

    def render_for(link: Link) -> Render:
        async def render(place: Place) -> Rendering:
            body = await place.run(_qr_code, address)
            response = raw_response(body, content_type="image/svg+xml")
            if is_gzip:
                compress_made(response)
            return Rendering(link, response, name)

        return render

    return await respond_rendered(request, name, request.app[POOLS].rendering, render_for)


def _qr_code(address: str) -> bytes:
    picture = io.BytesIO()
    segno.make(address).save(
        picture, kind="svg", scale=4, light="#fff", title="The link to this report"
    )
    return picture.getvalue()


def _part(request: web.Request) -> int:
    part = request.query.get("part", "1")
    return int(part) if part.isascii() and part.isdecimal() and len(part) < 7 else 1  # noqa: PLR2004 - more digits than any part has


async def _download(
    request: web.Request,
    content_type: str,
    write: Callable[[ReportWithAnalysis], bytes],
    module: str | None = None,
    variant: str = "",
) -> Response:
    extension = request.path.rpartition(".")[2]
    name: Name = ("download", extension, variant)
    if module is not None:
        name = (*name, module)

    def make(report: ReportWithAnalysis) -> tuple[Response, Name | None]:
        is_kept = True
        if module is not None:
            segments = select_modules(report.segments, (module, nfc(module)))
            report = msgspec.structs.replace(report, segments=segments)
            is_kept = len(segments) > len(b"[]")  # any name may be asked for
        disposition = content_disposition(report.video.name, extension)
        headers = {"Content-Disposition": disposition}
        response = raw_response(write(report), content_type=content_type, headers=headers)
        return response, name if is_kept else None

    downloads = request.app[POOLS].downloads
    return await respond_with_report(request, name, downloads, make, counts="download")
