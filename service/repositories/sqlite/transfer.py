"""An SQLite file as the source of a copy to another engine."""

import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from service.domain.errors import DatabaseRefusedError
from service.repositories.sqlite.engine.file import connect
from service.repositories.sqlite.engine.lock import (
    refuse_ambiguous_file,
    refuse_hard_links,
    serve_lock,
)
from service.repositories.sqlite.engine.migrate import SCHEMA, found_version
from service.repositories.transfer import TABLES, Row, Table, in_batches

_IS_SERVED = (
    "is being served by another process: stop the service first, because what it writes during the "
    "copy would be missing. To try a copy beforehand, copy a file that `backup` has made"
)
_LOCK_SECONDS = 0.2  # a command locks the lock file for microseconds to look at it

_PARTS = "SELECT data FROM analysis_parts WHERE analysis_id = ? ORDER BY number"


class SqliteSource:
    """The file, in one snapshot: see ``transfer.Source``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def counts(self) -> Mapping[str, int]:
        """Return the number of rows of each table."""
        return {
            table.name: self._connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0]
            for table in TABLES
        }

    async def rows(self, table: Table) -> AsyncIterator[Sequence[Row]]:
        """Return the rows of a table in batches, in the order of its key."""
        rows = self._videos(table) if table.name == "videos" else self._rows(table)
        for batch in in_batches(table, rows):
            yield batch

    async def last_ids(self) -> Mapping[str, int]:
        """Return the largest id that each table has given out, by table."""
        return dict(self._connection.execute("SELECT name, seq FROM sqlite_sequence"))

    def _rows(self, table: Table) -> Iterator[Row]:
        rows = self._connection.execute(
            f"SELECT {', '.join(table.columns)} FROM {table.name} ORDER BY {', '.join(table.key)}"
        )
        if not table.truths:
            yield from rows
            return
        truths = [name in table.truths for name in table.columns]
        for row in rows:
            yield tuple(
                bool(value) if is_truth and value is not None else value
                for value, is_truth in zip(row, truths, strict=True)
            )

    def _videos(self, table: Table) -> Iterator[Row]:
        """Return the rows of videos with their analyses, one large one in memory at a time."""
        columns = ", ".join(table.columns[:-1])
        for *row, segments, analysis_id in self._connection.execute(
            f"SELECT {columns}, CAST(segments AS BLOB), analysis_id FROM videos ORDER BY id"
        ):
            if analysis_id is None:
                yield (*row, segments)
            else:
                parts = self._connection.execute(_PARTS, [analysis_id])
                yield (*row, b"".join(data for (data,) in parts))


@contextmanager
def open_source(path: Path) -> Iterator[SqliteSource]:
    """Open a file to copy everything in it; nothing serves it or writes to it meanwhile.

    Raises DatabaseRefusedError for a file that is missing, empty, not ours, of another schema
    version, or served, and if it can't be read.
    """
    path = path.resolve()
    if not path.exists():
        raise DatabaseRefusedError(f"There is no {path}.")
    refuse_hard_links(path)
    refuse_ambiguous_file(path)
    try:
        with serve_lock(path, _IS_SERVED, patience=_LOCK_SECONDS):
            _refuse_other_version(path)
            # The connection is closed before the lock is released: see the lock module.
            with closing(connect(path, "rw")) as connection:
                connection.execute("BEGIN IMMEDIATE")  # one snapshot, and no write of a command
                yield SqliteSource(connection)
    except sqlite3.Error as error:
        raise DatabaseRefusedError(f"{path}: {error}") from error


def _refuse_other_version(path: Path) -> None:
    current = found_version(path)
    if current == 0:
        raise DatabaseRefusedError(f"There is nothing in {path}.")
    if current < SCHEMA.version:
        raise DatabaseRefusedError(
            f"{path} has schema version {current}, and this program copies {SCHEMA.version}: run "
            f"SHARED_REPORTS_DATABASE={path} shared-reports migrate first."
        )
