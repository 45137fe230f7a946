"""Database files as earlier releases have made them."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from service.repositories.schema import Schema
from service.repositories.sqlite.engine.file import APPLICATION_ID
from service.repositories.sqlite.engine.migrate import SCHEMA, migrate

DATA = Path(__file__).parents[1] / "data"
ROWS = {"api_keys": 2, "shared_reports": 4, "videos": 2}


RELEASED = 2
"""The newest schema version that tests/data holds; later ones are made by their migrations."""


def make_file(path: Path, version: int) -> Path:
    """Make a database as a release with this schema version has made and filled it."""
    if version > RELEASED:
        make_file(path, RELEASED)
        upto = {number: sql for number, sql in SCHEMA.migrations.items() if number <= version}
        migrate(path, Schema("", upto))
        return path
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript((DATA / f"schema-{version}.sql").read_text())
        for number in range(1, version + 1):
            connection.executescript((DATA / f"rows-{number}.sql").read_text())
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.commit()
    return path


def first_release(tmp_path: Path) -> Path:
    """A database as the first release has made and filled it."""
    return make_file(tmp_path / "test.sqlite3", 1)


def version_of(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def shape(file: Path) -> dict[tuple[str, str], str]:
    """The SQL of all that is in a schema, without comments, spaces and quotes."""
    with closing(sqlite3.connect(file)) as connection:
        return {
            (kind, name): re.sub(r"--.*|\s|\"", "", sql)
            for kind, name, sql in connection.execute(
                "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL"
            )
        }


def content(file: Path) -> dict[str, list[dict[str, object]]]:
    """All rows of the tables of version 1, and the ids that each table has used up."""
    with closing(sqlite3.connect(file)) as connection:
        connection.row_factory = sqlite3.Row
        return {
            table: [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1")]
            for table in (*ROWS, "sqlite_sequence")
        }
