"""Responses rendered from a report: rendered once, kept, and shown after a check of the link."""

from collections.abc import Callable
from typing import Literal

import msgspec
from aiohttp import web

from service.aiohttp_ext.response import Response
from service.concurrency.bounded_pool import BoundedPool, Place
from service.domain.errors import UnavailableError
from service.domain.links import Link, ReportWithAnalysis
from service.domain.segments import select_modules
from service.web.app_keys import ACCESS, INDEXES, LINKS, RENDER_CACHE, VIEWS
from service.web.bots import is_bot
from service.web.compression import compress_made, is_accepted
from service.web.pages.report_index import ReportIndex
from service.web.proxies import rate_limit_key
from service.web.render_cache import Key, Name, Render, Rendering
from service.web.unlocking import token_of

_TRIES = 3

Counted = Literal["page", "download"]
"""What a response may be counted as."""

_read_modules = msgspec.json.Decoder(frozenset[str]).decode

Make = Callable[[ReportWithAnalysis], tuple[Response, Name | None]]
"""Makes a response of a report, in a thread; returns it with the name to keep it under, or None."""
MakeOfIndex = Callable[[ReportIndex, Link], tuple[Response, Name | None]]
"""The same of its index."""


async def respond_with_report(
    request: web.Request,
    name: Name,
    pool: BoundedPool,
    make: Make,
    *,
    counts: Counted | None = None,
) -> Response:
    """Return the response of this name for the request's link, kept or made of its report.

    ``make`` gets the segments of the modules that the link shows. See ``respond_rendered``.
    """
    links, share_hash = request.app[LINKS], request.match_info["share_hash"]
    is_gzip = is_accepted(request)

    def make_encoded(report: ReportWithAnalysis) -> tuple[Response, Name | None]:
        response, made_name = make(report)
        if is_gzip:
            compress_made(response)
        return response, made_name and encoded_name(made_name, is_gzip=is_gzip)

    async def render(place: Place) -> Rendering:
        report = await links.get_report(share_hash)
        return Rendering(report.link, *await place.run(_make_visible, make_encoded, report))

    name = encoded_name(name, is_gzip=is_gzip)
    return await respond_rendered(request, name, pool, lambda _: render, counts=counts)


async def respond_with_index(
    request: web.Request,
    name: Name,
    pool: BoundedPool,
    make: MakeOfIndex,
    *,
    counts: Counted | None = None,
) -> Response:
    """Return the response of this name for the request's link, kept or made of its index.

    The index is kept, too, so the report is read once for all its pages. See ``respond_rendered``.
    """
    links, share_hash = request.app[LINKS], request.match_info["share_hash"]
    indexes, is_gzip = request.app[INDEXES], is_accepted(request)

    def make_encoded(index: ReportIndex, link: Link) -> tuple[Response, Name | None]:
        response, made_name = make(index, link)
        if is_gzip:
            compress_made(response)
        return response, made_name and encoded_name(made_name, is_gzip=is_gzip)

    def read_and_make(report: ReportWithAnalysis) -> tuple[ReportIndex, Response, Name | None]:
        report = _visible(report)
        index = ReportIndex(report.video, report.segments)
        return index, *make_encoded(index, report.link)

    def render_for(link: Link) -> Render:
        async def render(place: Place) -> Rendering:
            if (index := indexes.get(link)) is not None:
                return Rendering(link, *await place.run(make_encoded, index, link))
            epoch = indexes.epoch
            report = await links.get_report(share_hash)
            made, response, made_name = await place.run(read_and_make, report)
            indexes.keep(report.link, made, epoch)
            return Rendering(report.link, response, made_name)

        return render

    name = encoded_name(name, is_gzip=is_gzip)
    return await respond_rendered(request, name, pool, render_for, counts=counts)


async def respond_rendered(
    request: web.Request,
    name: Name,
    pool: BoundedPool,
    render_for: Callable[[Link], Render],
    *,
    counts: Counted | None = None,
) -> Response:
    """Return the response of this name for the request's link: kept, or rendered in ``pool``.

    ``counts`` says what the call is counted as, unless it is a bot's: a view of the page, if
    unlocking was none already, or a download.

    The link is checked when the response begins, and nothing is awaited after that. If the link has
    changed while it was rendered, it is rendered anew. Raises what AccessService.check does, and
    UnavailableError if too many calls wait.
    """
    app, token = request.app, token_of(request)
    access, cache, share_hash = app[ACCESS], app[RENDER_CACHE], request.match_info["share_hash"]
    for _ in range(_TRIES):
        link = await access.check(share_hash, token)
        response = cache.get(key := Key(name, link))
        if response is None:
            rendering = await cache.render(
                key, pool, rate_limit_key(request), is_connected(request), render_for(link)
            )
            if rendering is None or await access.check(share_hash, token) != rendering.link:
                continue
            link, response = rendering.link, rendering.response
        if counts is not None:
            _count(request, link, counts)
        return response.copy()
    raise UnavailableError("The link is being changed. Try again.")


def _count(request: web.Request, link: Link, kind: Counted) -> None:
    """Count a response. A bot's page is a bot view; its download is counted nowhere."""
    if kind == "download":
        if not is_bot(request, reads_page=False):
            request.app[VIEWS].count(link.id, kind)
    elif link.requires_nothing:
        request.app[VIEWS].count(link.id, "bot" if is_bot(request, reads_page=True) else kind)


def encoded_name(name: Name, *, is_gzip: bool) -> Name:
    """Return the name of a response in the encoding in which it is kept.

    The encoding comes first: the last part of a name may be any text that a client sends.
    """
    return ("gzip", *name) if is_gzip else name


def is_connected(request: web.Request) -> Callable[[], bool]:
    """Tells whether the request's client is still connected."""
    return lambda: request.transport is not None and not request.transport.is_closing()


def _make_visible(make: Make, report: ReportWithAnalysis) -> tuple[Response, Name | None]:
    return make(_visible(report))


def _visible(report: ReportWithAnalysis) -> ReportWithAnalysis:
    """The report with the segments of the modules that its link shows."""
    if report.link.modules is None:
        return report
    shown = select_modules(report.segments, _read_modules(report.link.modules))
    return msgspec.structs.replace(report, segments=shown)
