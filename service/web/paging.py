"""Pages of a list: which one is asked for, and the header that leads to the next.

A cursor is the id of the last thing on the page before. What is added meanwhile has a larger id
and what is deleted is passed over, so no page shows anything twice or leaves anything out.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from aiohttp import web

from service.aiohttp_ext.response import Response, json_response
from service.domain.errors import InvalidError
from service.domain.paging import ALL_ROWS, LIMIT, LIMIT_MAX, Listed, Page
from service.web.proxies import base_url

_CURSOR_BYTES = 9  # fills 12 characters of base64
_CURSOR = re.compile(r"[A-Za-z0-9_-]{12}")


def asked_page(request: web.Request, *, whole: bool = False) -> Page:
    """The page that ``limit`` and ``cursor`` ask for.

    Where neither is there it is the first one or, if ``whole``, everything. Raises InvalidError.
    """
    limit, cursor = request.query.get("limit"), request.query.get("cursor")
    if whole and limit is None and cursor is None:
        return ALL_ROWS
    page = Page(LIMIT if limit is None else _limit(limit))
    return page if cursor is None else Page(page.limit, _place(cursor))


def respond_page_of(request: web.Request, listed: list[Listed], after: Page | None) -> Response:
    """The answer with a page of a list, and a ``Link`` to the one after where there is one.

    Raises MalformedError where the request names no host to put into that.
    """
    base = base_url(request)
    if after is None:
        return json_response(listed)
    cursor = urlsafe_b64encode(after.before.to_bytes(_CURSOR_BYTES)).decode()
    target = request.rel_url.update_query(cursor=cursor).raw_path_qs
    return json_response(listed, headers={"Link": f'<{base}{target}>; rel="next"'})


def _limit(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= LIMIT_MAX:
        raise InvalidError(f"`limit` is a whole number from 1 to {LIMIT_MAX}.")
    return int(text)


def _place(cursor: str) -> int:
    before = int.from_bytes(urlsafe_b64decode(cursor)) if _CURSOR.fullmatch(cursor) else 0
    if not 0 < before < 2**63:
        raise InvalidError("`cursor` is not one of this list's: take it from a `Link` header.")
    return before
