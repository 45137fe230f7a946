"""How a report is shown that takes time to get ready: as its link has it when the answer begins."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from service.aiohttp_ext.response import Answer
from service.domain.errors import UnavailableError
from service.domain.models import WholeReport
from service.web.app_keys import OPENINGS, SHARED_REPORTS
from service.web.unlocking import token_of

_TRIES = 3


async def show_whole(
    request: web.Request,
    answer: Callable[[WholeReport], Awaitable[Answer]],
    *,
    module: str | None = None,
    counts: bool = False,
) -> Answer:
    """The ``answer`` to what the request's link shows with its analysis, of one module if named.

    It is a view of the link where it ``counts``, unless that was counted when the link was opened.
    The link is looked at once more when the answer is ready. It may have died meanwhile, or may
    show less than it did; then the answer is made anew. Raises what Openings.check does.
    """
    shared_reports, openings = request.app[SHARED_REPORTS], request.app[OPENINGS]
    share_hash, token = request.match_info["share_hash"], token_of(request)
    openings.check(share_hash, token)
    for _ in range(_TRIES):
        whole = await shared_reports.view_whole(share_hash, module)
        made = await answer(whole)
        if openings.check(share_hash, token) == whole.link:
            if counts and whole.link.is_open:
                shared_reports.count_view(whole.link.id)
            return made
    raise UnavailableError("The link is being changed. Try again.")
