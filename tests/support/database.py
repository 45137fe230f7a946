"""Direct access to the tables, in the same words on both engines.

Tests that must see a row, or make it what no request can make it, use this. A statement has ``?``
for each parameter. Values are SQLite's: a time is text such as ``2025-01-15T10:00:00``, a truth 0
or 1. Statements keep to what both engines understand.
"""

import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from service.domain.postgresql_url import PostgresqlUrl, is_postgresql
from support import postgresql

DatabaseSetting = Path | PostgresqlUrl
"""The setting ``database``: an SQLite file, or the address of a PostgreSQL database."""

FreshDatabase = Callable[[], AbstractContextManager[DatabaseSetting]]
"""Makes an empty database, which exists as long as the context lasts."""

_ADDRESS_FILE = "database-address"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_TIMEOUT = 20.0  # seconds


def use_database(folder: Path, database: DatabaseSetting) -> None:
    """Let `database_in` return this database for this folder."""
    (folder / _ADDRESS_FILE).write_text(text_of(database))


def database_in(folder: Path) -> DatabaseSetting:
    """The database of the commands that run in a folder: the file ``test.sqlite3`` in it."""
    file = folder / _ADDRESS_FILE
    address = file.read_text() if file.exists() else str(folder / "test.sqlite3")
    return PostgresqlUrl(address) if is_postgresql(address) else Path(address)


def text_of(database: DatabaseSetting) -> str:
    """The setting as it is written in the environment."""
    return database.text if isinstance(database, PostgresqlUrl) else str(database)


def fetch(database: DatabaseSetting, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Run one statement, in a transaction of its own; returns its rows."""
    if isinstance(database, PostgresqlUrl):
        rows = postgresql.fetch(database.text, _numbered(sql), *map(_to_native, parameters))
        return [tuple(map(_from_native, row)) for row in rows]
    with closing(sqlite3.connect(database, timeout=_TIMEOUT)) as connection, connection:
        return connection.execute(sql, parameters).fetchall()


def execute_many(database: DatabaseSetting, sql: str, rows: Sequence[Sequence[object]]) -> None:
    """Run one statement for each row of parameters, in one transaction."""
    if isinstance(database, PostgresqlUrl):
        native = [tuple(map(_to_native, row)) for row in rows]
        postgresql.execute_many(database.text, _numbered(sql), native)
        return
    with closing(sqlite3.connect(database, timeout=_TIMEOUT)) as connection, connection:
        connection.executemany(sql, rows)


def change_segments(database: DatabaseSetting, change: Callable[[bytes], bytes]) -> None:
    """Change each stored analysis, as an earlier release or a restore may have left it."""
    for video_id, stored in fetch(database, "SELECT id, segments FROM videos"):
        is_text = isinstance(stored, str)
        segments = change(stored.encode() if is_text else stored)
        value = segments.decode() if is_text else segments
        fetch(database, "UPDATE videos SET segments = ? WHERE id = ?", value, video_id)


def contents(database: DatabaseSetting) -> bytes:
    """All that is stored: the bytes of SQLite's files, or the text of PostgreSQL's rows."""
    if not isinstance(database, PostgresqlUrl):
        files = sorted(database.parent.glob(f"{database.name}*"))
        return b"".join(file.read_bytes() for file in files)
    tables = postgresql.fetch(
        database.text, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    )
    rows = [postgresql.fetch(database.text, f"SELECT * FROM {table}") for (table,) in tables]
    return str(rows).encode()


def break_updates(database: DatabaseSetting, table: str, verb: str = "UPDATE") -> None:
    """Let each update of a row of the table fail, or each ``verb``."""
    if not isinstance(database, PostgresqlUrl):
        abort = "BEGIN SELECT raise(ABORT, 'x'); END"
        fetch(database, f"CREATE TRIGGER fault BEFORE {verb} ON {table} {abort}")
        return
    body = "$$ BEGIN RAISE EXCEPTION 'x'; END $$"
    fetch(database, f"CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS {body}")
    fetch(
        database,
        f"CREATE TRIGGER fault BEFORE {verb} ON {table} FOR EACH ROW EXECUTE FUNCTION fault()",
    )


def _numbered(sql: str) -> str:
    numbers = count(1)
    return re.sub(r"\?", lambda _: f"${next(numbers)}", sql)


def _to_native(value: object) -> object:
    if isinstance(value, str) and _TIME.fullmatch(value):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    return value


def _from_native(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return int(value) if isinstance(value, bool) else value
