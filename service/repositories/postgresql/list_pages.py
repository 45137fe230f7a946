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
