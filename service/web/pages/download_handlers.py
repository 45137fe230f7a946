"""The downloads of a report, and its QR code."""

import io
from collections.abc import Callable

import segno
from aiohttp import web

from service.aiohttp_ext.response import Response, raw_response
from service.concurrency.bounded_pool import Place
from service.domain.errors import INACTIVE_LINK_ERRORS, PROTECTED_LINK_ERRORS, MalformedError
from service.domain.links import Link, ReportWithAnalysis
from service.domain.segments import decode_segments
from service.domain.videos import PublicVideo, ReportDocument
from service.web.app_keys import ACCESS, POOLS
from service.web.compression import compress_made, is_accepted
from service.web.pages.captions import Write as WriteCaptions
from service.web.pages.captions import as_srt, as_webvtt
from service.web.pages.downloads import as_csv, as_json, content_disposition
from service.web.pages.for_people import for_people
from service.web.pages.report_index import ReportIndex
from service.web.pages.report_query import FILTERS, ReportQuery, read_query
from service.web.proxies import base_url
from service.web.render_cache import Name, Render, Rendering
from service.web.report_responses import (
    encoded_name,
    respond_rendered,
    respond_with_index,
    respond_with_report,
)
from service.web.routing import RouteTable
from service.web.unlocking import HEADER, token_of

table = RouteTable("Pages")

_PROBLEMS = (*INACTIVE_LINK_ERRORS, *PROTECTED_LINK_ERRORS, MalformedError)
_NO_FILTER = ReportQuery()

Write = Callable[[PublicVideo, bytes], bytes]
"""Makes a download of a video and the JSON of its segments."""


@table.public(
    "GET",
    "/r/{share_hash}/analysis.json",
    operation="downloadJson",
    query=FILTERS,
    returns=ReportDocument,
    takes=(HEADER,),
    problems=_PROBLEMS,
)
@for_people
async def download_json(request: web.Request) -> Response:
    """Download the analysis as JSON.

    One document with the video and its segments; with the parameters of the page, those that they
    select. It counts no view.
    """
    return await _download(request, _query_of(request), "application/json", as_json)


@table.public(
    "GET",
    "/r/{share_hash}/analysis.csv",
    operation="downloadCsv",
    query=(*FILTERS, "excel"),
    returns=str,
    content_type="text/csv",
    takes=(HEADER,),
    problems=_PROBLEMS,
)
@for_people
async def download_csv(request: web.Request) -> Response:
    """Download the analysis as CSV, one line a segment.

    In UTF-8, with a header line. With `excel=1` it begins with a byte order mark, without which
    Excel takes it for another encoding. The parameters of the page select segments. It counts no
    view.
    """
    has_mark = request.query.get("excel") == "1"

    def write(_: PublicVideo, segments: bytes) -> bytes:
        return as_csv(segments, has_mark=has_mark)

    variant = "excel" if has_mark else ""
    return await _download(request, _query_of(request), "text/csv; charset=utf-8", write, variant)


@table.public(
    "GET",
    "/r/{share_hash}/transcript.vtt",
    operation="downloadTranscript",
    query=FILTERS,
    returns=str,
    content_type="text/vtt",
    takes=(HEADER,),
    problems=_PROBLEMS,
)
@for_people
async def download_webvtt(request: web.Request) -> Response:
    """Download the transcript as WebVTT captions: of the modules given, or of the first transcript.

    One cue for each segment with text. The parameters of the page select segments. It counts no
    view.
    """
    return await _download_captions(request, "text/vtt; charset=utf-8", as_webvtt)


@table.public(
    "GET",
    "/r/{share_hash}/transcript.srt",
    operation="downloadSubtitles",
    query=FILTERS,
    returns=str,
    content_type="application/x-subrip",
    takes=(HEADER,),
    problems=_PROBLEMS,
)
@for_people
async def download_srt(request: web.Request) -> Response:
    """Download the transcript as SubRip (SRT) captions, which video editors read.

    The same cues as in WebVTT, in UTF-8. It counts no view.
    """
    return await _download_captions(request, "application/x-subrip; charset=utf-8", as_srt)


async def _download_captions(
    request: web.Request, content_type: str, captions: WriteCaptions
) -> Response:
    query = _query_of(request)

    def write(_: PublicVideo, segments: bytes) -> bytes:
        return captions(decode_segments(segments), query.modules or None)

    return await _download(request, query, content_type, write)


def _query_of(request: web.Request) -> ReportQuery:
    """The query of a download. Raises MalformedError: it must not be of more than is meant."""
    query = read_query(request.query)
    if query.problems:
        raise MalformedError(query.problems[0])
    return query.filter_only()


async def _download(
    request: web.Request, query: ReportQuery, content_type: str, write: Write, variant: str = ""
) -> Response:
    extension = request.path.rpartition(".")[2]
    pool = request.app[POOLS].downloads
    name: Name = ("download", extension, variant)

    def respond(video: PublicVideo, segments: bytes) -> Response:
        headers = {"Content-Disposition": content_disposition(video.name, extension)}
        return raw_response(write(video, segments), content_type=content_type, headers=headers)

    def make(report: ReportWithAnalysis) -> tuple[Response, Name | None]:
        return respond(report.video, report.segments), name

    def make_selected(index: ReportIndex, _: Link) -> tuple[Response, Name | None]:
        # Not kept: anything may be asked for.
        return respond(index.video, index.stored_of(index.select(query))), None

    if query == _NO_FILTER:
        return await respond_with_report(request, name, pool, make, counts="download")
    selected: Name = (*name, query.encoded())
    return await respond_with_index(request, selected, pool, make_selected, counts="download")


@table.public(
    "GET",
    "/r/{share_hash}/qr.svg",
    operation="showQrCode",
    returns=str,
    content_type="image/svg+xml",
    takes=(HEADER,),
    problems=(*INACTIVE_LINK_ERRORS, *PROTECTED_LINK_ERRORS, MalformedError),
)
@for_people
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
