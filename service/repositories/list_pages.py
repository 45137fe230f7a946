"""Pages of a list, newest first, read by statements that each look at a bounded number of rows.

Between two statements of a list other callers' statements run. With that a filter needs no index,
which each new row would have to maintain: in SQLite a filter that no row of a million matches takes
0.7 s.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from service.domain.paging import Page
from service.repositories.link_mapping import Row

_SCAN_ROWS = 10_000  # rows that one statement looks at: some milliseconds

S = TypeVar("S")
"""A statement of an engine."""


@dataclass(frozen=True, slots=True)
class ListQuery(Generic[S]):
    """The statements of one kind of list."""

    rows: S
    """Rows with ids below ``:before``, from ``:until`` on, at most ``:rows`` of them; if ``:until``
    is null, of the next ``:rows`` rows of the index. The last two columns are the row's id, and the
    smallest id that was looked at; 1 if the list ends there."""
    look_ahead: S
    """The id of the last of the next ``:rows`` rows of the index; no row if there are fewer."""


async def fetch_page(
    fetch_all: Callable[..., Awaitable[Sequence[Row]]],
    query: ListQuery[S],
    page: Page,
    *,
    is_filtered: bool,
    **parameters: object,
) -> tuple[list[tuple[Any, ...]], Page | None]:
    """Return the rows of a page, without the last two columns, and the next page if there is one.

    ``fetch_all`` is a worker's: its callers take turns, also between the statements of one page.
    Without a filter nearly all rows that are looked at are on the page, and one statement is
    enough. Raises UnavailableError if too many statements of the caller wait.
    """
    rows: list[Row] = []
    before, until = page.before, page.before
    if not is_filtered:
        rows += await fetch_all(query.rows, before=before, until=None, rows=page.rows, **parameters)
        if rows:
            before, until = rows[-1][-2:]
    while len(rows) < page.rows and until > 1:
        bound = await fetch_all(query.look_ahead, before=before, rows=_SCAN_ROWS, **parameters)
        until = bound[0][0] if bound else 1
        rows += await fetch_all(
            query.rows, before=before, until=until, rows=page.rows, **parameters
        )
        before = until
    shown = rows[: page.limit]
    following = Page(page.limit, shown[-1][-2]) if len(rows) > page.limit else None
    return [tuple(row[:-2]) for row in shown], following
