"""A batch: one statement that does the work of many calls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, repeat
from typing import Generic, TypeVar

Item = TypeVar("Item")


MAX_BATCH_SIZE = 256


@dataclass(frozen=True, eq=False, slots=True)
class Batch(Generic[Item]):
    """One statement that does the work of many calls.

    ``{values}`` in it stands for a table with a row for each call. ``rows`` makes these of the
    calls' items at the moment the task leaves, so that a clock read there is not older than the
    task. Some rows of zeros may follow, which must do nothing: there is a statement for each power
    of two, not for each number, and to bind a null takes ten times as long. The first column of the
    result is the key by which each call finds its row; calls with equal keys never share a task.
    """

    sql: str
    rows: Callable[[Sequence[Item]], Sequence[Sequence[object]]]

    def statement(self, items: Sequence[Item]) -> tuple[str, Sequence[object]]:
        """The statement for these items, and its parameters."""
        rows = self.rows(items)
        width, height = len(rows[0]), 1 << (len(rows) - 1).bit_length()
        parameters = list(chain.from_iterable(rows))
        parameters += repeat(0, width * (height - len(rows)))
        return _with_values(self.sql, width, height), parameters


@lru_cache(maxsize=64)
def _with_values(sql: str, width: int, height: int) -> str:
    row = f"({', '.join('?' * width)})"
    return sql.replace("{values}", f"VALUES {', '.join([row] * height)}")
