"""Views by bots: prefetching browsers, crawlers, link previews, monitors.

A bot's view is counted apart from people's and uses up no limit. Which agents are crawlers is known
from the list of the library crawler-user-agents. It has programs' HTTP libraries, too, under a tag
of their own: they are the usual callers of the API, and no readers of pages.
"""

import re
from functools import cache, lru_cache

from aiohttp import hdrs, web
from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from multidict import istr

AGENT_LENGTH = 256
"""Characters of a User-Agent that are looked at. Each example of the list is recognised by them."""
_AGENTS_KEPT = 4_096
_LIBRARY_TAG = "http-library"
_CHUNK = 25  # patterns of one expression: a fourth of the time of all in one

_AGENT = istr("User-Agent")
_SEC_PURPOSE, _PURPOSE, _X_PURPOSE, _X_MOZ = map(
    istr, ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
)
_PREFETCHES = ("prefetch", "preview", "prerender")


def is_bot(request: web.Request, *, reads_page: bool) -> bool:
    """Whether a request that is shown a report is a bot's: a HEAD, a prefetch, or a crawler's.

    An HTTP library is a bot where it ``reads_page``, and the usual caller of the API elsewhere.
    """
    is_crawler, is_library = _classify(request.headers.get(_AGENT, "")[:AGENT_LENGTH])
    return is_crawler or (is_library and reads_page) or is_prefetch(request)


def is_prefetch(request: web.Request) -> bool:
    """Whether nobody may see the response: to a HEAD, or to a prefetch of a browser."""
    headers = request.headers
    if request.method != hdrs.METH_GET:
        return True
    purpose = (
        headers.get(_SEC_PURPOSE)
        or headers.get(_PURPOSE)
        or headers.get(_X_PURPOSE)
        or headers.get(_X_MOZ)
    )
    return purpose is not None and purpose.strip().lower().startswith(_PREFETCHES)


@cache
def load_agents() -> tuple[list[re.Pattern[str]], list[re.Pattern[str]]]:
    """Return the expressions of crawlers and of HTTP libraries, compiled at the first call.

    The application calls it at its start: it takes 40 ms, which no request waits for.
    """
    return _compile(of_libraries=False), _compile(of_libraries=True)


def _compile(*, of_libraries: bool) -> list[re.Pattern[str]]:
    patterns = [
        f"(?:{entry['pattern']})"
        for entry in CRAWLER_USER_AGENTS_DATA
        if (_LIBRARY_TAG in entry.get("tags", ())) is of_libraries
    ]
    return [
        re.compile("|".join(patterns[start : start + _CHUNK]))
        for start in range(0, len(patterns), _CHUNK)
    ]


@lru_cache(_AGENTS_KEPT)
def _classify(agent: str) -> tuple[bool, bool]:
    """Whether a User-Agent is a crawler's, and whether it is an HTTP library's.

    It takes up to about 0.4 ms. Agents are kept, so that a view costs a look-up.

    Some patterns of the list take time that grows with the square of the length, so the caller
    cuts the agent.
    """
    crawlers, libraries = load_agents()
    is_crawler = any(expression.search(agent) for expression in crawlers)
    return is_crawler, any(expression.search(agent) for expression in libraries)
