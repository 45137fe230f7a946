"""The statements of a list in PostgreSQL."""

from service.repositories.list_pages import ListQuery
from service.repositories.postgresql.engine.statements import Statement, read


def list_query(
    name: str, columns: str, table: str, *, owner: str, where: str
) -> ListQuery[Statement]:
    """Return the statements of a list called ``name`` in the logs.

    ``owner`` is the column, and the parameter, whose rows are listed: an index of the table has it
    and then ``id``. ``where`` has the conditions beyond it.

    The conditions compare pairs because only that index has their order. With ``owner = :owner``
    the planner may walk all rows of the table by their id instead, past those of other owners.
    """
    bound, rows, look_ahead = _statements(table, owner, where)
    return ListQuery(
        read(f"""-- list {name}
      {bound}
    SELECT {columns}, {table}.id, (SELECT until FROM bound) {rows}"""),
        read(f"""-- look ahead in {name}
    {look_ahead}"""),
    )


def json_list_query(
    name: str, row_json: str, table: str, *, owner: str, where: str
) -> ListQuery[Statement]:
    """Return the statements of a list of ``row_json``, likewise; all its rows are one.

    They are in the order of the inner statement: PostgreSQL aggregates rows as they come.
    """
    bound, rows, look_ahead = _statements(table, owner, where)
    return ListQuery(
        read(f"""-- list {name}
      {bound}
    SELECT convert_to(string_agg(row_json, chr(10)), 'UTF8'),
           count(*), min(id), (SELECT until FROM bound)
      FROM (SELECT {row_json} AS row_json, {table}.id {rows}) AS listed"""),
        read(f"""-- look ahead in {name}
    {look_ahead}"""),
    )


def _statements(table: str, owner: str, where: str) -> tuple[str, str, str]:
    """Return a statement's bound, its end from FROM on, and the look ahead."""
    row, order = f"({table}.{owner}, {table}.id)", f"{table}.{owner} DESC, {table}.id DESC"
    bound = f"""SELECT id FROM {table}
             WHERE {row} < (:{owner}, :before::bigint) AND {row} > (:{owner}, 0)
             ORDER BY {order} LIMIT 1 OFFSET :rows::bigint - 1"""
    return (
        f"WITH bound AS MATERIALIZED (SELECT coalesce(:until::bigint, ({bound}), 1) AS until)",
        f"""FROM {table}
     WHERE {row} < (:{owner}, :before) AND {row} >= (:{owner}, (SELECT until FROM bound))
       AND {where}
     ORDER BY {order} LIMIT :rows""",
        bound,
    )
