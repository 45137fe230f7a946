"""Pages of a list."""

from typing import Protocol, TypeVar

import msgspec

LIMIT, LIMIT_MAX = 50, 200
"""How many things a page of a list shows: where nothing is said, and at most."""


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


Listed = TypeVar("Listed", bound=_HasId)


class Page(msgspec.Struct, frozen=True):
    """Which part of a list is asked for; lists begin with the newest, which has the largest id."""

    limit: int | None = None
    """How many to show at most; None for all."""
    before: int = 2**63 - 1
    """Only those with smaller ids."""

    @property
    def rows(self) -> int:
        """What SQL's LIMIT has to be: one row more tells that there is a next page."""
        return -1 if self.limit is None else self.limit + 1

    def split_page(self, listed: list[Listed]) -> "tuple[list[Listed], Page | None]":
        """What of ``rows`` things or more is on this page, and the next page where there is one."""
        if self.limit is None or len(listed) <= self.limit:
            return listed, None
        shown = listed[: self.limit]
        return shown, Page(self.limit, int(shown[-1].id))


ALL_ROWS = Page()
"""Not a part, but the whole list."""
