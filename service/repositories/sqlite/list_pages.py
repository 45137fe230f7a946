"""The statements of a list in SQLite."""

from service.repositories.list_pages import ListQuery


def list_query(name: str, columns: str, table: str, *, index: str, where: str) -> ListQuery[str]:
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
