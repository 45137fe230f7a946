"""How a report is shown that takes time to get ready: as its link has it when the answer begins."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from service.aiohttp_ext.response import Response
from service.domain.errors import UnavailableError
from service.domain.links import ReportWithAnalysis
from service.web.app_keys import ACCESS, LINKS, VIEWS
from service.web.unlocking import token_of

_TRIES = 3


async def respond_with_report(
    request: web.Request,
    answer: Callable[[ReportWithAnalysis], Awaitable[Response]],
    *,
    module: str | None = None,
    counts: bool = False,
) -> Response:
    """The ``answer`` to what the request's link shows with its analysis, of one module if named.

    It is a view of the link where it ``counts``, unless that was counted when the link was opened.
    The link is looked at once more when the answer is ready. It may have died meanwhile, or may
    show less than it did; then the answer is made anew. Raises what Openings.check does.
    """
    links, access = request.app[LINKS], request.app[ACCESS]
    share_hash, token = request.match_info["share_hash"], token_of(request)
    await access.check(share_hash, token)
    for _ in range(_TRIES):
        whole = await links.get_report(share_hash, module)
        made = await answer(whole)
        if await access.check(share_hash, token) == whole.link:
            if counts and whole.link.is_open:
                request.app[VIEWS].count(whole.link.id)
            return made
    raise UnavailableError("The link is being changed. Try again.")
