"""Pages of a list: newest first, by keyset."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import msgspec

LIMIT, LIMIT_MAX = 50, 200
"""Rows on a page: by default, and at most."""

Listed = TypeVar("Listed")


class Page(msgspec.Struct, frozen=True):
    """One page of a list. Lists begin with the newest row, which has the largest id."""

    limit: int = LIMIT
    """Rows on the page at most."""
    before: int = 2**63 - 1
    """The page has only rows with smaller ids."""

    @property
    def rows(self) -> int:
        """The LIMIT for SQL: one row more than the page has shows that there is a next page."""
        return self.limit + 1


FIRST_PAGE = Page()

FetchPage = Callable[[Page], Awaitable[tuple[list[Listed], Page | None]]]
"""Returns a page's rows, and the next page if there is one."""


async def pages(fetch: FetchPage[Listed], first: Page) -> AsyncIterator[list[Listed]]:
    """Yield the rows of each page of a list, from the ``first`` page on."""
    page: Page | None = first
    while page is not None:
        rows, page = await fetch(page)
        yield rows
