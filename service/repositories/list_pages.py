"""Pages of a list, newest first, read by statements that each look at a bounded number of rows.

Between two statements of a list other callers' statements run. With that a filter needs no index,
which each new row would have to maintain: in SQLite a filter that no row of a million matches takes
0.7 s.

A list that is sent as it is comes as JSON: a statement returns one row for all rows of a page. For
each row that SQLite returns, its thread would wait for the interpreter's lock.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Raw

from service.domain.paging import Page
from service.repositories.link_mapping import Row

_SCAN_ROWS = 10_000  # rows that one statement looks at: some milliseconds

S = TypeVar("S")
"""A statement of an engine."""

_Taken = tuple[int, Any, Any]
"""Of a statement's rows: how many, the id of the last, the smallest id that was looked at."""


@dataclass(frozen=True, slots=True)
class ListQuery(Generic[S]):
    """The statements of one kind of list."""

    rows: S
    """Rows with ids below ``:before``, from ``:until`` on, at most ``:rows`` of them; if ``:until``
    is null, of the next ``:rows`` rows of the index.

    For ``fetch_page`` the last two columns are the row's id, and the smallest id that was looked
    at; 1 if the list ends there. For ``fetch_json_page`` it returns one row: the rows as JSON, a
    line each, how many, the smallest id of them, and the smallest id that was looked at. No JSON of
    ours contains a line feed."""
    look_ahead: S
    """The id of the last of the next ``:rows`` rows of the index; no row if there are fewer."""


class _Identified(msgspec.Struct):
    """What each row of a list has."""

    id: str


_read_id = msgspec.json.Decoder(_Identified).decode


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

    def take(result: Sequence[Row]) -> _Taken:
        rows.extend(result)
        return (len(result), *result[-1][-2:]) if result else (0, None, None)

    await _scan(partial(fetch_all, **parameters), query, page, take, is_filtered=is_filtered)
    shown = rows[: page.limit]
    following = Page(page.limit, shown[-1][-2]) if len(rows) > page.limit else None
    return [tuple(row[:-2]) for row in shown], following


async def fetch_json_page(
    fetch_all: Callable[..., Awaitable[Sequence[Row]]],
    query: ListQuery[S],
    page: Page,
    *,
    is_filtered: bool,
    **parameters: object,
) -> tuple[list[Raw], Page | None]:
    """Return the rows of a page as JSON, in parts with commas between the rows; no part is empty.

    Otherwise the same as ``fetch_page``.
    """
    parts: list[bytes] = []
    counts: list[int] = []

    def take(result: Sequence[Row]) -> _Taken:
        [(lines, count, last, until)] = result
        counts.append(count)
        if count:
            parts.append(lines)
        return count, last, until

    await _scan(partial(fetch_all, **parameters), query, page, take, is_filtered=is_filtered)
    following = None
    if sum(counts) > page.limit:
        shown, _, _ = parts.pop().rpartition(b"\n")  # without the row of the next page
        if shown:
            parts.append(shown)
        last = parts[-1][parts[-1].rfind(b"\n") + 1 :]
        following = Page(page.limit, int(_read_id(last).id))
    return [Raw(part.replace(b"\n", b",")) for part in parts], following


async def _scan(
    fetch_all: Callable[..., Awaitable[Sequence[Row]]],
    query: ListQuery[S],
    page: Page,
    take: Callable[[Sequence[Row]], _Taken],
    *,
    is_filtered: bool,
) -> None:
    """Have ``take`` take what the statements of a page return: ``page.rows`` rows at most."""
    missing, before, until = page.rows, page.before, page.before
    if not is_filtered:
        result = await fetch_all(query.rows, before=before, until=None, rows=missing)
        count, last, smallest = take(result)
        missing -= count
        if count:
            before, until = last, smallest
    while missing and until > 1:
        bound = await fetch_all(query.look_ahead, before=before, rows=_SCAN_ROWS)
        until = bound[0][0] if bound else 1
        count, _, _ = take(await fetch_all(query.rows, before=before, until=until, rows=missing))
        missing -= count
        before = until
