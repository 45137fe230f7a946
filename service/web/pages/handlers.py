"""What people see: a report's page, its downloads, its QR code, and kind words when it is gone."""

import io
import secrets
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus

import segno
from aiohttp import hdrs, web

from service.aiohttp_ext.response import Response, raw_response
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
from service.domain.links import ReportWithAnalysis
from service.domain.videos import ReportDocument
from service.web.app_keys import ACCESS
from service.web.authentication import apply_guess_limit
from service.web.pages.downloads import as_csv, as_json, as_webvtt, file_name
from service.web.pages.rendering import HTML, render, respond_page
from service.web.pages.report_view import date_text, lay_out, number_text, read_segments
from service.web.problems import STATUS, extra_headers
from service.web.proxies import base_url
from service.web.report_responses import respond_with_report
from service.web.request_body import read_form
from service.web.routing import Handler, RouteTable
from service.web.threads import off_loop
from service.web.unlocking import HEADER, cookie, open_link, token_of

table = RouteTable("Pages")


def _for_people(handler: Handler) -> Handler:
    """A handler whose dead links get a page, with the status that the API would give them."""

    @wraps(handler)
    async def kind(request: web.Request) -> Response:
        try:
            return await handler(request)
        except INACTIVE_LINK_ERRORS as error:
            expired = date_text(error.expired_at) if isinstance(error, ExpiredError) else None
            exhausted = isinstance(error, ExhaustedError)
            body = render("gone.html", expired=expired, exhausted=exhausted)
            told = apply_guess_limit(request, error)
            return await respond_page(
                request, body, status=STATUS[type(told)], headers=extra_headers(told)
            )
        except (*PROTECTED_LINK_ERRORS, LimitedError) as error:
            return await _ask(request, error, STATUS[type(error)])

    return kind


async def _ask(request: web.Request, error: ServiceError, status: HTTPStatus) -> Response:
    """The form that opens the request's link, which tells nothing of what is behind it."""
    message = ""
    if isinstance(error, PasswordRequiredError) and error.is_wrong:
        message = "This is not the password."
    elif isinstance(error, LimitedError):
        message = f"Too many tries. Wait {error.retry_after} s and try again."
    share_hash = request.match_info["share_hash"]
    body = render(
        "open.html",
        action=share_hash if request.path.endswith(share_hash) else f"../{share_hash}",
        asks_password=not isinstance(error, OpenRequiredError),
        message=message,
        key=secrets.token_hex(16),
    )
    headers = extra_headers(error) if status >= HTTPStatus.BAD_REQUEST else {}
    return await respond_page(request, body, status=status, headers=headers)


@table.public(
    "GET",
    "/r/{share_hash}",
    operation="showReport",
    query=("part",),
    returns=str,
    content_type="text/html",
    takes=(HEADER,),
    problems=(*INACTIVE_LINK_ERRORS, *PROTECTED_LINK_ERRORS),
)
@_for_people
async def page(request: web.Request) -> Response:
    """Show a shared report to a person."""

    async def lay_out_page(whole: ReportWithAnalysis) -> Response:
        body = await off_loop(_render, request.match_info["share_hash"], whole, _part(request))
        return await respond_page(request, body)

    try:
        # A HEAD is answered here, too.
        return await respond_with_report(
            request, lay_out_page, counts=request.method == hdrs.METH_GET
        )
    except OpenRequiredError as error:  # the form is all there is to see yet: nothing is wrong
        return await _ask(request, error, HTTPStatus.OK)


def _render(share_hash: str, whole: ReportWithAnalysis, part: int) -> bytes:
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
async def open_page(request: web.Request) -> Response:
    """Open a shared report, as the form on its page does.

    This counts as a view. What it sets is a cookie for 15 minutes, in which the page can be shown
    and downloaded from without counting again.
    """
    share_hash = request.match_info["share_hash"]
    base_url(request)  # that it is known, before a view is counted
    headers = {"Location": share_hash}  # relative, as whatever stands in front may have a path
    try:
        await request.app[ACCESS].check(share_hash, token_of(request))
    except (*PROTECTED_LINK_ERRORS, ExhaustedError) as error:
        fields = await read_form(request)
        key = fields.get("key") or None
        if key is None and isinstance(error, ExhaustedError):
            raise
        opened = await open_link(request, fields.get("password"), key)
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
    """Download the analysis as JSON."""
    return await _download(request, "application/json", lambda w: as_json(w.video, w.segments))


@table.public(
    "GET",
    "/r/{share_hash}/analysis.csv",
    operation="downloadCsv",
    returns=str,
    content_type="text/csv",
    takes=(HEADER,),
    problems=(*INACTIVE_LINK_ERRORS, *PROTECTED_LINK_ERRORS),
)
@_for_people
async def download_csv(request: web.Request) -> Response:
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
    takes=(HEADER,),
    problems=(*INACTIVE_LINK_ERRORS, *PROTECTED_LINK_ERRORS),
)
@_for_people
async def download_webvtt(request: web.Request) -> Response:
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
    takes=(HEADER,),
    problems=(*INACTIVE_LINK_ERRORS, *PROTECTED_LINK_ERRORS, MalformedError),
)
@_for_people
async def qr(request: web.Request) -> Response:
    """Show the link as a QR code."""
    share_hash = request.match_info["share_hash"]
    # Not everything that is no link would fit into a code.
    await request.app[ACCESS].check(share_hash, token_of(request))
    picture = io.BytesIO()
    segno.make(f"{base_url(request)}/r/{share_hash}").save(
        picture, kind="svg", scale=4, light="#fff", title="The link to this report"
    )
    return raw_response(picture.getvalue(), content_type="image/svg+xml")


def _part(request: web.Request) -> int:
    part = request.query.get("part", "1")
    return int(part) if part.isascii() and part.isdecimal() and len(part) < 7 else 1  # noqa: PLR2004 - more than there are


async def _download(
    request: web.Request, content_type: str, write: Callable[[ReportWithAnalysis], bytes]
) -> Response:
    async def make_file(whole: ReportWithAnalysis) -> Response:
        name = file_name(whole.video.name, request.path.rpartition(".")[2])
        return raw_response(
            await off_loop(write, whole),
            content_type=content_type,
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    return await respond_with_report(request, make_file)
