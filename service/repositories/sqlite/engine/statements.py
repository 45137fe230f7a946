"""What statements take and return, and their names in logs and metrics."""

import sqlite3
from collections.abc import Mapping
from typing import Any

import aiosqlite

Row = tuple[Any, ...]


Parameters = Mapping[str, Any]


SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def is_closed(connection: aiosqlite.Connection | sqlite3.Connection) -> bool:
    """Whether a connection is of no use any more, whoever has closed it."""
    try:
        _ = connection.in_transaction
    except (sqlite3.ProgrammingError, ValueError):
        return True
    return False


def statement_name(sql: str) -> str:
    """What a statement is called in the log: the comment it begins with, else its first words.

    Parameters are bound, never written into a statement, so no name can hold one.
    """
    first = sql.strip().partition("\n")[0]
    return first.removeprefix("--").strip()[:60]
