"""Lists: the page that a request asks for, the header that leads to the next, and whole lists.

A cursor is the id of the last row on the page before. Rows that are created meanwhile have larger
ids, and deleted rows are passed over, so no page shows a row twice or leaves one out. A whole list
is read and sent page by page, so it needs no more memory than a page.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from service.aiohttp_ext.response import JSON, Response, raw_response
from service.aiohttp_ext.streaming import StreamingResponse
from service.domain.errors import InvalidError
from service.domain.paging import LIMIT, LIMIT_MAX, FetchPage, Listed, Page, encode_rows, pages
from service.web.proxies import base_url

_CURSOR_BYTES = 9  # fills 12 characters of base64
_CURSOR = re.compile(r"[A-Za-z0-9_-]{12}")
_WHOLE_LIST_PAGE = Page(LIMIT_MAX)  # 200 links are mapped and encoded in 2 ms


def requested_page(request: web.Request) -> Page | None:
    """Return the page that ``limit`` and ``cursor`` ask for, None if neither is given.

    Raises InvalidError.
    """
    cursor = request.query.get("cursor")
    if cursor is None and "limit" not in request.query:
        return None
    page = Page(requested_limit(request.query))
    return page if cursor is None else Page(page.limit, _before(cursor))


def cursor_of(page: Page) -> str:
    """Return the cursor that leads to a page."""
    return urlsafe_b64encode(page.before.to_bytes(_CURSOR_BYTES)).decode()


def requested_limit(query: Mapping[str, str]) -> int:
    """Return the ``limit`` that a query asks for, or the default. Raises InvalidError."""
    limit = query.get("limit")
    return LIMIT if limit is None else _limit(limit)


def link_to_next(request: web.Request, base: str, **query: str) -> dict[str, str]:
    """Return the ``Link`` header to the same request at ``base`` with another query."""
    target = request.rel_url.update_query(query).raw_path_qs
    return {"Link": f'<{base}{target}>; rel="next"'}


async def respond_with_page(request: web.Request, fetch: FetchPage[Listed], page: Page) -> Response:
    """Return a page of a list, with a ``Link`` to the next page if there is one.

    Raises MalformedError if the request names no host for that link.
    """
    listed, following = await fetch(page)
    base = base_url(request)
    body = b"[%b]" % b",".join(await encode_rows(listed))
    if following is None:
        return raw_response(body)
    return raw_response(body, headers=link_to_next(request, base, cursor=cursor_of(following)))


async def respond_with_list(request: web.Request, fetch: FetchPage[Listed]) -> Response:
    """Return the page that the request asks for, or the whole list if it asks for none.

    A list of more than one page is streamed. Raises what ``requested_page``, ``respond_with_page``
    and ``fetch`` raise.
    """
    page = requested_page(request)
    if page is not None:
        return await respond_with_page(request, fetch, page)
    first, following = await fetch(_WHOLE_LIST_PAGE)
    if following is None:
        return raw_response(b"[%b]" % b",".join(await encode_rows(first)))
    return StreamingResponse(_array(first, pages(fetch, following)), JSON)


async def _array(first: list[Listed], others: AsyncIterator[list[Listed]]) -> AsyncIterator[bytes]:
    """Yield a JSON array of the rows of all pages in parts; the first page is not empty."""
    yield b"[" + b",".join(await encode_rows(first))
    async for rows in others:
        if rows:
            yield b"".join(b"," + part for part in await encode_rows(rows))
    yield b"]"


def _limit(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= LIMIT_MAX:
        raise InvalidError(f"`limit` is a whole number from 1 to {LIMIT_MAX}.")
    return int(text)


def _before(cursor: str) -> int:
    before = int.from_bytes(urlsafe_b64decode(cursor)) if _CURSOR.fullmatch(cursor) else 0
    if not 0 < before < 2**63:
        raise InvalidError("`cursor` is not one of this list's: take it from a `Link` header.")
    return before
