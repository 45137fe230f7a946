"""The statements of a list in SQLite."""

from service.repositories.list_pages import ListQuery


def list_query(name: str, columns: str, table: str, *, index: str, where: str) -> ListQuery[str]:
    """Return the statements of a list called ``name`` in the logs.

    ``index`` is the condition that an index of the table followed by ``id`` serves, ``where`` the
    conditions beyond it.
    """
    rows, look_ahead, until = _statements(table, index, where)
    return ListQuery(
        f"""-- list {name}
    SELECT {columns}, {table}.id, {until} {rows}""",
        f"""-- look ahead in {name}
    {look_ahead}""",
    )


def json_list_query(
    name: str, row_json: str, table: str, *, index: str, where: str
) -> ListQuery[str]:
    """Return the statements of a list of ``row_json``, likewise; all its rows are one.

    The rows are in the order of the inner statement: SQLite does not merge one with a LIMIT into
    the outer. They are joined as a BLOB, because Python would decode a text to encode it again.
    """
    rows, look_ahead, until = _statements(table, index, where)
    return ListQuery(
        f"""-- list {name}
    SELECT CAST(group_concat(row_json, char(10)) AS BLOB), count(*), min(id), {until}
      FROM (SELECT {row_json} AS row_json, {table}.id {rows})""",
        f"""-- look ahead in {name}
    {look_ahead}""",
    )


def _statements(table: str, index: str, where: str) -> tuple[str, str, str]:
    """Return a statement's end from FROM on, the look ahead, and the smallest id looked at."""
    bound = f"""SELECT id FROM {table} WHERE {index} AND id < :before
             ORDER BY id DESC LIMIT 1 OFFSET :rows - 1"""
    until = f"ifnull(:until, ifnull(({bound}), 1))"
    rows = f"""FROM {table}
     WHERE {index} AND id < :before AND id >= {until} AND {where}
     ORDER BY id DESC LIMIT :rows"""
    return rows, bound, until
