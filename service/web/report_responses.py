"""Responses that take long to make of a report: right for its link at the moment they begin."""

from collections.abc import Callable, Container

import msgspec
from aiohttp import web

from service.aiohttp_ext.response import Response
from service.concurrency.bounded_pool import BoundedPool
from service.domain.errors import UnavailableError
from service.domain.links import ReportWithAnalysis
from service.domain.segments import select_modules
from service.web.app_keys import ACCESS, LINKS, VIEWS
from service.web.proxies import rate_limit_key
from service.web.unlocking import token_of

_TRIES = 3

_read_modules = msgspec.json.Decoder(frozenset[str]).decode


async def respond_with_report(
    request: web.Request,
    pool: BoundedPool,
    make: Callable[[ReportWithAnalysis], Response],
    *,
    module: str | None = None,
    counts: bool = False,
) -> Response:
    """The response that ``make`` returns, in a thread of ``pool``, for the request's link.

    ``make`` gets the segments of the modules that the link shows, or of one of them if named. The
    call is a view of the link if it ``counts``, unless unlocking was one already.

    The link is checked again when the response is ready. If it has changed, the response is made
    anew. Raises what AccessService.check does, and UnavailableError if too many calls wait.
    """
    links, access = request.app[LINKS], request.app[ACCESS]
    share_hash, token = request.match_info["share_hash"], token_of(request)
    await access.check(share_hash, token)

    def make_visible(report: ReportWithAnalysis) -> Response:
        return make(_visible(report, module))

    async with pool.place(rate_limit_key(request), is_connected(request)) as place:
        for _ in range(_TRIES):
            report = await links.get_report(share_hash)
            response = await place.run(make_visible, report)
            if await access.check(share_hash, token) == report.link:
                if counts and report.link.requires_nothing:
                    request.app[VIEWS].count(report.link.id)
                return response
    raise UnavailableError("The link is being changed. Try again.")


def is_connected(request: web.Request) -> Callable[[], bool]:
    """Tells whether the request's client is still connected."""
    return lambda: request.transport is not None and not request.transport.is_closing()


def _visible(report: ReportWithAnalysis, module: str | None) -> ReportWithAnalysis:
    """The report with only what its link shows, of one module if named."""
    allowed: Container[str] | None = None
    if report.link.modules is not None:
        allowed = _read_modules(report.link.modules)
    if module is not None:
        allowed = (module,) if allowed is None or module in allowed else ()
    if allowed is None:
        return report
    return msgspec.structs.replace(report, segments=select_modules(report.segments, allowed))
