"""Statements: SQL with named parameters, and what may be done after its answer was lost."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import asyncpg

Row = asyncpg.Record
"""A row: a tuple whose values have names, too."""

Connection = asyncpg.Connection

Item = TypeVar("Item")

MAX_BATCH_SIZE = 256  # calls

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Upper bounds of the histograms of batch sizes, in calls."""

_NAME = re.compile(r"(?<![:\w]):([a-z][a-z_0-9]*)")

NOW = "coalesce(:now::timestamptz, statement_timestamp())"
"""The present for a statement: the server's clock, unless ``:now`` is given (see Database.now)."""

NOW_SECOND = f"date_trunc('second', {NOW})"
"""The present cut to the second, as every stored time is."""


class Statement:
    """One statement, whose ``:names`` are parameters.

    It begins with a comment, its name in logs. If it ``repeats``, it may run again after its answer
    was lost with the connection: it only reads, or does the same when it is done twice.
    """

    __slots__ = ("name", "names", "repeats", "text")

    def __init__(self, sql: str, *, repeats: bool) -> None:
        self.name = sql.strip().partition("\n")[0].removeprefix("--").strip()
        self.names = tuple(dict.fromkeys(_NAME.findall(sql)))
        numbers = {name: number for number, name in enumerate(self.names, 1)}
        self.text = _NAME.sub(lambda match: f"${numbers[match[1]]}", sql)
        self.repeats = repeats

    def bind(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Return the values in the order of the statement's numbers.

        A parameter that is a function is called now: a clock read by the caller would be older by
        the time in the queue.
        """
        values = [parameters[name] for name in self.names]
        return [value() if callable(value) else value for value in values]


def read(sql: str) -> Statement:
    """Return a statement that only reads."""
    return Statement(sql, repeats=True)


def write(sql: str, *, repeats: bool = False) -> Statement:
    """Return a statement that writes."""
    return Statement(sql, repeats=repeats)


@dataclass(frozen=True, eq=False, slots=True)
class Batch(Generic[Item]):
    """A statement that does the work of many calls, each of which has a key.

    The first column of its result is the key. ``make_parameters`` makes its parameters, arrays
    mostly, of the items of the calls, when the statement starts. If it ``merges``, calls with equal
    keys share an item; otherwise they never share a statement.
    """

    statement: Statement
    make_parameters: Callable[[Sequence[Item]], Mapping[str, Any]]
    merges: bool = False


def storable(text: str) -> str | None:
    """Return a text from outside to look for; None, which equals nothing, if none such is stored.

    PostgreSQL stores no NUL and no half of a surrogate pair, and fails on a parameter with one.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    return None if "\0" in text else text
