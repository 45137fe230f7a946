"""Pages of a list, newest first, read by statements that each look at a bounded number of rows.

Between two statements of a list other callers' statements run. With that a filter needs no index,
which each new row would have to maintain.
"""

from asyncio import Future
from dataclasses import dataclass
from typing import Any

from service.domain.paging import Page
from service.repositories.postgresql.engine.statements import Row, Statement, read
from service.repositories.postgresql.engine.worker import Worker

_SCAN_ROWS = 10_000  # rows that one statement looks at: some milliseconds


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The statements of one kind of list."""

    rows: Statement
    """Rows with ids below ``:before``, from ``:until`` on, at most ``:rows`` of them; if ``:until``
    is null, of the next ``:rows`` rows of the index. The last two columns are the row's id, and the
    smallest id that was looked at; 1 if the list ends there."""
    look_ahead: Statement
    """The id of the last of the next ``:rows`` rows of the index; no row if there are fewer."""


def list_query(name: str, columns: str, table: str, *, owner: str, where: str) -> ListQuery:
    """Return the statements of a list called ``name`` in the logs.

    ``owner`` is the column, and the parameter, whose rows are listed: an index of the table has it
    and then ``id``. ``where`` has the conditions beyond it.

    The conditions compare pairs because only that index has their order. With ``owner = :owner``
    the planner may walk all rows of the table by their id instead, past those of other owners.
    """
    row, order = f"({table}.{owner}, {table}.id)", f"{table}.{owner} DESC, {table}.id DESC"
    bound = f"""SELECT id FROM {table}
             WHERE {row} < (:{owner}, :before::bigint) AND {row} > (:{owner}, 0)
             ORDER BY {order} LIMIT 1 OFFSET :rows::bigint - 1"""
    return ListQuery(
        read(f"""-- list {name}
      WITH bound AS MATERIALIZED (SELECT coalesce(:until::bigint, ({bound}), 1) AS until)
    SELECT {columns}, {table}.id, (SELECT until FROM bound) FROM {table}
     WHERE {row} < (:{owner}, :before) AND {row} >= (:{owner}, (SELECT until FROM bound))
       AND {where}
     ORDER BY {order} LIMIT :rows"""),
        read(f"""-- look ahead in {name}
    {bound}"""),
    )


async def fetch_page(
    worker: Worker,
    query: ListQuery,
    page: Page,
    *,
    user_id: str,
    is_filtered: bool,
    **parameters: Any,
) -> tuple[list[tuple[Any, ...]], Page | None]:
    """Return the rows of a page, without the last two columns, and the next page if there is one.

    Without a filter nearly all rows that are looked at are on the page, and one statement is
    enough. Users take turns, also between the statements of one page. Raises UnavailableError if
    too many statements of the user wait.
    """

    def fetch(statement: Statement, **position: int | None) -> "Future[list[Row]]":
        return worker.fetch_all(
            statement, caller=user_id, user_id=user_id, **parameters, **position
        )

    rows: list[Row] = []
    before, until = page.before, page.before
    if not is_filtered:
        rows = await fetch(query.rows, before=before, until=None, rows=page.rows)
        if rows:
            before, until = rows[-1][-2:]
    while len(rows) < page.rows and until > 1:
        bound = await fetch(query.look_ahead, before=before, rows=_SCAN_ROWS)
        until = bound[0][0] if bound else 1
        rows += await fetch(query.rows, before=before, until=until, rows=page.rows)
        before = until
    return _split(rows, page)


def _split(rows: list[Row], page: Page) -> tuple[list[tuple[Any, ...]], Page | None]:
    shown = rows[: page.limit]
    following = Page(page.limit, shown[-1][-2]) if len(rows) > page.limit else None
    return [row[:-2] for row in shown], following
