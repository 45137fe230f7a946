"""Pages of a list: newest first, by keyset."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

LIMIT, LIMIT_MAX = 50, 200
"""Rows on a page: by default, and at most."""

_ENCODED_AT_ONCE = 40  # rows: 2 ms, if they are as long as may be
_LONG_PART = 2**17  # bytes of rows after which others have their turn on the event loop

_encode = msgspec.json.Encoder().encode

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


async def encode_rows(rows: Sequence[object]) -> list[bytes]:
    """Return the rows as parts of JSON with commas between the rows of one part.

    Others have their turn on the event loop between long parts.
    """
    parts: list[bytes] = []
    for start in range(0, len(rows), _ENCODED_AT_ONCE):
        if parts and len(parts[-1]) > _LONG_PART:
            await asyncio.sleep(0)
        parts.append(_encode(rows[start : start + _ENCODED_AT_ONCE])[1:-1])
    return parts
