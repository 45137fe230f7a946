"""Pages of a list: newest first, by keyset."""

from typing import Protocol, TypeVar

import msgspec

LIMIT, LIMIT_MAX = 50, 200
"""Rows on a page: by default, and at most."""


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


Listed = TypeVar("Listed", bound=_HasId)


class Page(msgspec.Struct, frozen=True):
    """One page of a list. Lists begin with the newest row, which has the largest id."""

    limit: int | None = None
    """Rows on the page at most; None for all rows."""
    before: int = 2**63 - 1
    """The page has only rows with smaller ids."""

    @property
    def rows(self) -> int:
        """The LIMIT for SQL: one row more than the page has shows that there is a next page."""
        return -1 if self.limit is None else self.limit + 1

    def split_page(self, listed: list[Listed]) -> "tuple[list[Listed], Page | None]":
        """Split ``rows`` or more rows into this page's, and the next page if there is one."""
        if self.limit is None or len(listed) <= self.limit:
            return listed, None
        page = listed[: self.limit]
        return page, Page(self.limit, int(page[-1].id))


ALL_ROWS = Page()
"""The whole list."""
