"""Batches: one statement that does the work of many calls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import Generic, TypeVar

Item = TypeVar("Item")

MAX_BATCH_SIZE = 256  # calls

_NULL = -(2**63)
"""Stands for NULL in the parameters of a batch: sqlite3 takes ten times as long to bind None as an
integer. No column of ours holds this one."""


@dataclass(frozen=True, eq=False, slots=True)
class BatchStatement:
    """A statement on a table expression that has one row for each call.

    ``sql`` follows the ``WITH`` clause that defines ``table`` with ``columns``. The first column is
    the key and never NULL. The first column of the result is the key, too.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    sql: str

    def render(self, row_count: int) -> str:
        """Return the SQL for so many rows of parameters."""
        return _render(self, row_count)


@dataclass(frozen=True, eq=False, slots=True)
class Batch(Generic[Item]):
    """A batch statement, and the function that makes its rows of the items of the calls.

    ``make_rows`` runs when the task starts, so that a clock read there is not older than the task.
    Calls with equal keys never share a task.
    """

    statement: BatchStatement
    make_rows: Callable[[Sequence[Item]], Sequence[Sequence[object]]]

    def prepare(self, items: Sequence[Item]) -> tuple[str, Sequence[object]]:
        """Return the SQL for these items, and its parameters.

        The rows are padded to a power of two, so that SQLite compiles few statements; the table
        expression leaves the padding out.
        """
        rows = self.make_rows(items)
        row_count = 1 << (len(rows) - 1).bit_length()
        parameters = [_NULL if value is None else value for row in rows for value in row]
        padding = (row_count - len(rows)) * len(self.statement.columns)
        parameters.extend(repeat(_NULL, padding))
        return self.statement.render(row_count), parameters


@lru_cache(maxsize=64)
def _render(statement: BatchStatement, row_count: int) -> str:
    key, *others = (f"column{number}" for number in range(1, len(statement.columns) + 1))
    values = ", ".join([key, *(f"nullif({column}, {_NULL})" for column in others)])
    row = f"({', '.join('?' * len(statement.columns))})"
    return f"""-- {statement.name}
      WITH {statement.table} ({", ".join(statement.columns)}) AS (
           SELECT {values} FROM (VALUES {", ".join([row] * row_count)}) WHERE {key} <> {_NULL})
    {statement.sql}"""
