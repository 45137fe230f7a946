"""Database files for the tests of copies and checks."""

import sqlite3
from contextlib import closing
from pathlib import Path

from service.repositories.sqlite.engine.migrate import migrate


def filled_database(tmp_path: Path) -> Path:
    """A database with one video of 4 MiB, so that a copy takes more than one step."""
    file = tmp_path / "test.sqlite3"
    migrate(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(
            "INSERT INTO videos (user_id, job_id, name, status, selected_insights, created_at,"
            " updated_at, public_fields_json, segments) VALUES ('u', 'j', 'x', 'completed', '[]',"
            " '2025-01-15T10:00:00', '2025-01-15T10:00:00', '', hex(zeroblob(2 << 20)))"
        )
        connection.commit()
    return file


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def damage(file: Path) -> None:
    """Write over a page in the middle of a file."""
    with file.open("r+b") as pages:
        pages.seek(file.stat().st_size // 2 // 4096 * 4096)
        pages.write(b"\xff" * 4096)


def links(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as connection:
        return {row[0] for row in connection.execute("SELECT share_hash FROM shared_reports")}


def row_counts(database: Path) -> str:
    """The number of rows of each table by name, as the commands print it."""
    with closing(sqlite3.connect(database)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            " ORDER BY name"
        )
        return ", ".join(
            f"{count} {table}"
            for (table,) in tables.fetchall()
            for (count,) in connection.execute(f'SELECT count(*) FROM "{table}"')
        )
