"""Pages of a list, newest first, read by statements that each look at a bounded number of rows.

Between two statements of a list other callers' statements run. With that a filter needs no index,
which each new row would have to maintain: a filter that no row of a million matches takes 0.7 s.
"""

from asyncio import Future
from dataclasses import dataclass
from typing import Any

from service.domain.paging import Page
from service.repositories.sqlite.engine.statements import Row
from service.repositories.sqlite.engine.worker import ConnectionWorker

_SCAN_ROWS = 10_000  # rows that one statement looks at: some milliseconds


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The statements of one kind of list."""

    rows: str
    """Rows with ids below ``:before``, from ``:until`` on, at most ``:rows`` of them; if ``:until``
    is null, of the next ``:rows`` rows of the index. The last two columns are the row's id, and the
    smallest id that was looked at; 1 if the list ends there."""
    look_ahead: str
    """The id of the last of the next ``:rows`` rows of the index; no row if there are fewer."""


def list_query(name: str, columns: str, table: str, *, index: str, where: str) -> ListQuery:
    """Return the statements of a list called ``name`` in the logs.

    ``index`` is the condition that an index of the table followed by ``id`` serves, ``where`` the
    conditions beyond it.
    """
    bound = f"""SELECT id FROM {table} WHERE {index} AND id < :before
             ORDER BY id DESC LIMIT 1 OFFSET :rows - 1"""
    until = f"ifnull(:until, ifnull(({bound}), 1))"
    return ListQuery(
        f"""-- list {name}
    SELECT {columns}, {table}.id, {until} FROM {table}
     WHERE {index} AND id < :before AND id >= {until} AND {where}
     ORDER BY id DESC LIMIT :rows""",
        f"""-- look ahead in {name}
    {bound}""",
    )


async def fetch_page(
    worker: ConnectionWorker,
    query: ListQuery,
    page: Page,
    *,
    user_id: str,
    is_filtered: bool,
    **parameters: Any,
) -> tuple[list[Row], Page | None]:
    """Return the rows of a page, without the last two columns, and the next page if there is one.

    Without a filter nearly all rows that are looked at are on the page, and one statement is
    enough. Users take turns, also between the statements of one page. Raises UnavailableError if
    too many statements of the user wait.
    """

    def read(sql: str, **position: int | None) -> Future[list[Row]]:
        return worker.fetch_all(sql, caller=user_id, user_id=user_id, **parameters, **position)

    rows: list[Row] = []
    before, until = page.before, page.before
    if not is_filtered:
        rows = await read(query.rows, before=before, until=None, rows=page.rows)
        if rows:
            before, until = rows[-1][-2:]
    while len(rows) < page.rows and until > 1:
        bound = await read(query.look_ahead, before=before, rows=_SCAN_ROWS)
        until = bound[0][0] if bound else 1
        rows += await read(query.rows, before=before, until=until, rows=page.rows)
        before = until
    return _split(rows, page)


def _split(rows: list[Row], page: Page) -> tuple[list[Row], Page | None]:
    shown = rows[: page.limit]
    following = Page(page.limit, shown[-1][-2]) if len(rows) > page.limit else None
    return [row[:-2] for row in shown], following
