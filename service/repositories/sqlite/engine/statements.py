"""Types of statements' parameters and rows, and the names of statements in logs."""

import sqlite3
from collections.abc import Mapping
from typing import Any

import aiosqlite

Row = tuple[Any, ...]
Parameters = Mapping[str, Any]

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Upper bounds of the histograms of batch sizes, in calls."""


def is_closed(connection: aiosqlite.Connection | sqlite3.Connection) -> bool:
    """Return whether a connection was closed, by us or by anything else."""
    try:
        _ = connection.in_transaction
    except (sqlite3.ProgrammingError, ValueError):
        return True
    return False


def statement_name(sql: str) -> str:
    """Return the name of a statement for the log: its leading comment, else its first line.

    Values are bound as parameters and never written into a statement, so no name contains one.
    """
    first_line = sql.strip().partition("\n")[0]
    return first_line.removeprefix("--").strip()[:60]
