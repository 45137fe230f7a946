"""Lists of the console: a page of rows, the filter above it, the way to the next page."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from aiohttp import web
from msgspec import Raw

from service.domain.errors import InvalidError
from service.domain.links import SharedReport
from service.domain.paging import FIRST_PAGE, Page
from service.repositories.link_mapping import read_reports
from service.web.console.settings import Errors, errors_of
from service.web.paging import cursor_of, requested_page

_DECODED_AT_ONCE = 40  # links: 2 ms, if their modules are as long as may be

Row = TypeVar("Row")

Fetch = Callable[[Page, Mapping[str, str]], Awaitable[tuple[list[Row], Page | None]]]
"""Returns the rows of a page for what the filter asks, and the next page if there is one."""


@dataclass(frozen=True, slots=True)
class ListView(Generic[Row]):
    """A page of a list, as a template shows it."""

    rows: list[Row]
    following: str
    """The address of the next page; empty if there is none."""
    first: str
    """The address of the first page; empty if this is it."""
    query: Mapping[str, str]
    """What the filter asks for, as it was typed."""
    errors: Errors
    """What is wrong with the filter. No row is shown then."""

    def typed(self, name: str) -> str:
        """Return what a field of the filter asks for; empty if nothing."""
        return self.query.get(name, "")

    @property
    def is_filtered(self) -> bool:
        """Whether the filter asks for anything."""
        return bool(self.query)


async def list_view(
    request: web.Request, fetch: Fetch[Row], filters: tuple[str, ...]
) -> ListView[Row]:
    """Return the page of a list that a request asks for, by the parameters of the API.

    A field of the filter that is empty filters nothing. Raises what ``fetch`` raises but
    InvalidError.
    """
    query = {name: value for name in filters if (value := request.query.get(name, ""))}
    rows: list[Row] = []
    following: Page | None = None
    errors: Errors = {}
    try:
        page = requested_page(request) or FIRST_PAGE
        rows, following = await fetch(page, query)
    except InvalidError as error:
        errors = errors_of(error)
    own = {name: value for name, value in request.query.items() if name in {*filters, "limit"}}
    return ListView(
        rows,
        _address(request, own | {"cursor": cursor_of(following)}) if following else "",
        _address(request, own) if "cursor" in request.query else "",
        query,
        errors,
    )


async def decode_links(
    fetched: Awaitable[tuple[list[Raw], Page | None]],
) -> tuple[list[SharedReport], Page | None]:
    """Return a page of links of their JSON, with pauses for others on the event loop."""
    parts, following = await fetched
    links: list[SharedReport] = []
    reports = read_reports(parts)
    while some := list(islice(reports, _DECODED_AT_ONCE)):
        links += some
        await asyncio.sleep(0)
    return links, following


def _address(request: web.Request, query: Mapping[str, str]) -> str:
    """Return the address of this list with another query, relative."""
    return f"?{request.rel_url.with_query(query).raw_query_string}"
