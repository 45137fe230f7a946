"""Pages of a list, newest first, read by statements that each look at a bounded number of rows.

Between two statements of a list other callers' statements run. With that a filter needs no index,
which each new row would have to maintain: in SQLite a filter that no row of a million matches takes
0.7 s.

A list that is sent as it is comes as JSON: a statement returns one row for all rows of a page. For
each row that SQLite returns, its thread would wait for the interpreter's lock.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from msgspec import Raw

from service.domain.paging import Page
from service.repositories.link_mapping import Row

_SCAN_ROWS = 10_000  # rows that one statement looks at: some milliseconds

S = TypeVar("S")
"""A statement of an engine."""

_Part = tuple[list[Any], list[Any], Any]
"""What a statement has found: the rows, their ids, and the smallest id that was looked at."""


def _rows_of(result: Sequence[Row]) -> _Part:
    """Return the rows of a statement whose last two columns are the id and the smallest id."""
    until = result[-1][-1] if result else None
    return [tuple(row[:-2]) for row in result], [row[-2] for row in result], until


def json_rows(result: Sequence[Row]) -> _Part:
    """Return the rows of a statement that returns one: see ``ListQuery.unpack``."""
    [(lines, ids, until)] = result
    if lines is None:
        return [], [], until
    return [Raw(line) for line in lines.split(b"\n")], ids.split(), until


@dataclass(frozen=True, slots=True)
class ListQuery(Generic[S]):
    """The statements of one kind of list."""

    rows: S
    """Rows with ids below ``:before``, from ``:until`` on, at most ``:rows`` of them; if ``:until``
    is null, of the next ``:rows`` rows of the index. Besides it returns their ids, and the smallest
    id that was looked at; 1 if the list ends there."""
    look_ahead: S
    """The id of the last of the next ``:rows`` rows of the index; no row if there are fewer."""
    unpack: Callable[[Sequence[Row]], _Part] = _rows_of
    """Reads the result of ``rows``. With ``json_rows`` it is one row: JSON, a line for each row of
    the list (no JSON of ours contains a line feed), and the ids with spaces between them."""


async def fetch_page(
    fetch_all: Callable[..., Awaitable[Sequence[Row]]],
    query: ListQuery[S],
    page: Page,
    *,
    is_filtered: bool,
    **parameters: object,
) -> tuple[list[Any], Page | None]:
    """Return the rows of a page, as the query unpacks them, and the next page if there is one.

    ``fetch_all`` is a worker's: its callers take turns, also between the statements of one page.
    Without a filter nearly all rows that are looked at are on the page, and one statement is
    enough. Raises UnavailableError if too many statements of the caller wait.
    """
    rows: list[Any] = []
    ids: list[Any] = []

    async def fetch(before: int, until: int | None) -> int:
        result = await fetch_all(
            query.rows, before=before, until=until, rows=page.rows, **parameters
        )
        found, found_ids, smallest = query.unpack(result)
        rows.extend(found)
        ids.extend(found_ids)
        return smallest  # type: ignore[no-any-return] # an engine's

    before, until = page.before, page.before
    if not is_filtered:
        smallest = await fetch(before, None)
        if rows:
            before, until = int(ids[-1]), smallest
    while len(rows) < page.rows and until > 1:
        bound = await fetch_all(query.look_ahead, before=before, rows=_SCAN_ROWS, **parameters)
        until = bound[0][0] if bound else 1
        await fetch(before, until)
        before = until
    if len(rows) <= page.limit:
        return rows, None
    return rows[: page.limit], Page(page.limit, int(ids[page.limit - 1]))
