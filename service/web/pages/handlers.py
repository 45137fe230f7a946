"""The page of a report for people, and the form that unlocks it."""

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from service.aiohttp_ext.response import Response, raw_response
from service.domain.access import UnlockForm
from service.domain.errors import (
    INACTIVE_LINK_ERRORS,
    PROTECTED_LINK_ERRORS,
    ExhaustedError,
    MalformedError,
    OpenRequiredError,
    PasswordRequiredError,
    TooLargeError,
    TooSlowError,
)
from service.domain.links import Link
from service.web.app_keys import ACCESS, NOW, POOLS
from service.web.pages.clock import date_text, left_text
from service.web.pages.for_people import for_people, page_address, unlock_form
from service.web.pages.pasted import has_punctuation, redirect_to_link
from service.web.pages.rendering import HTML, page_response, render
from service.web.pages.report_index import ReportIndex
from service.web.pages.report_query import FILTERS, PLACES, ReportQuery, read_query
from service.web.pages.report_view import lay_out, number_text
from service.web.proxies import base_url
from service.web.render_cache import Name
from service.web.report_responses import Counted, respond_with_index
from service.web.request_body import read_form
from service.web.routing import RouteTable
from service.web.unlocking import HEADER, cookie, token_of, unlock_link

table = RouteTable("Pages")

_PLAIN = ReportQuery()


@table.public(
    "GET",
    "/r/{share_hash}",
    operation="showReport",
    query=(*FILTERS, *PLACES),
    returns=str,
    redirects="To the page of a known link, if punctuation or a slash follows its share hash.",
    content_type="text/html",
    takes=(HEADER,),
    problems=(*INACTIVE_LINK_ERRORS, *PROTECTED_LINK_ERRORS),
)
@for_people
async def page(request: web.Request) -> Response:
    """Show a shared report to a person.

    The overview and the first findings; with parameters those that they select. To move about in an
    opened report counts no view. A protected link shows the form that unlocks it.
    """
    share_hash = request.match_info["share_hash"]
    if has_punctuation(share_hash):
        return await redirect_to_link(request)
    query, hour = read_query(request.query), request.app[NOW]()[: len("2026-01-31T12")]
    # Problems may be any: a query with one is rendered anew.
    is_plain = query == _PLAIN and not query.problems
    name: Name = ("page", hour) if is_plain else ("page", hour, request.rel_url.raw_query_string)

    def make(index: ReportIndex, link: Link) -> tuple[Response, Name | None]:
        body = _render(index, link, query, hour)
        return page_response(request, body), name if is_plain else None

    rendering = request.app[POOLS].rendering
    counts: Counted | None = None if _is_move(request) else "page"
    try:
        return await respond_with_index(request, name, rendering, make, counts=counts)
    except OpenRequiredError as error:  # the first visit of a limited link is no error
        return unlock_form(request, error, HTTPStatus.OK)


slash_page = for_people(redirect_to_link)
"""The handler of a page's address with a slash behind. It is not published."""


def _is_move(request: web.Request) -> bool:
    """Whether a request comes from the report's own page, so that it is within the same view.

    Browsers say so. Of a client that does not, a query of the page's own is taken as such.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    return _has_own_parameter(request.query)


def _has_own_parameter(query: Mapping[str, str]) -> bool:
    return any(name in query for name in (*FILTERS, *PLACES))


def _render(index: ReportIndex, link: Link, query: ReportQuery, hour: str) -> bytes:
    """The page of a query; ``hour`` is the present one."""
    return render(
        "report.html",
        report=lay_out(index, link, query, f"{link.share_hash}/analysis.json"),
        share_hash=link.share_hash,
        hour=hour,
        date_text=date_text,
        left_text=left_text,
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
@for_people
async def unlock_page(request: web.Request) -> Response:
    """Unlock a shared report, as the form on its page does.

    This counts as a view. It sets a cookie for 15 minutes, with which the page and its downloads
    cost no further view. It leads back to the part that was asked for.
    """
    base_url(request)  # raises before a view is counted
    headers = {"Location": page_address(request)}
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
