"""Copies of a database that is in use, and whether a file is sound.

Both read one moment of the file from a connection that can't write: the service beside it goes on
writing, and its write-ahead log grows until they are done.
"""

import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from service.domain.errors import BackupError, DatabaseRefusedError
from service.repositories.sqlite.engine.file import connect, version

_STEP = 256  # pages between two calls of a copy's progress: 1 MiB
_FAULTS_MAX = 20

Progress = Callable[[int, int], None]
"""Is told how many pages are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a look at a whole file has found."""

    version: int
    """Its schema version; 0 where there is none."""
    rows: dict[str, int]
    """The rows of each table."""
    faults: list[str]
    """What is wrong with it, in words; empty when it is sound."""


def copy(
    source: Path,
    dest: Path,
    *,
    replace: bool = False,
    progress: Progress = lambda _done, _of: None,
) -> Checked:
    """Copy the database ``source``, as it is at one moment, to the file ``dest``, and check it.

    ``dest`` appears when it is whole, checked and on disk, never before: one file, for its owner
    only, with nothing beside it. A kill leaves at most a folder whose name ends in ``.partial``.

    Raises BackupError where ``dest`` exists (``replace`` allows that) or can't be a database's
    name, where either file fails, and where the copy is not what the source was.
    """
    if not source.exists():
        raise BackupError(f"There is no {source}.")
    _check_place(source, dest, replace=replace)
    try:
        # In a folder of its own, so that what SQLite makes beside it goes with it.
        with tempfile.TemporaryDirectory(
            prefix=f"{dest.name}.", suffix=".partial", dir=dest.parent
        ) as folder:
            partial = Path(folder) / dest.name
            partial.touch(mode=0o600)  # it holds share hashes
            expected = _copy_pages(source, partial, progress)
            copied = check(partial)
            if copied.faults or copied.rows != expected:
                faults = copied.faults or [f"{copied.rows} rows instead of {expected}"]
                raise BackupError(f"The copy is not sound: {'; '.join(faults)}")
            _sync(partial)
            _check_place(source, dest, replace=replace)  # copying may have taken long
            partial.replace(dest)
            _sync(dest.parent)
    except (sqlite3.Error, DatabaseRefusedError) as error:
        raise BackupError(f"{source} could not be copied to {dest}: {error}") from error
    return copied


def _check_place(source: Path, dest: Path, *, replace: bool) -> None:
    if not dest.parent.is_dir():
        raise BackupError(f"There is no folder {dest.parent}.")
    if dest.exists():
        if dest.is_dir():
            raise BackupError(f"{dest} is a folder.")
        if dest.samefile(source):
            raise BackupError(f"{dest} is the database itself.")
        if not replace:
            raise BackupError(f"{dest} exists; nothing was done to it.")
    for suffix in ("-wal", "-journal"):
        beside = dest.with_name(dest.name + suffix)
        if beside.exists():  # SQLite would take it for the copy's own
            raise BackupError(f"{beside} lies there: {dest} is, or was, a database in use.")


def _copy_pages(source: Path, partial: Path, progress: Progress) -> dict[str, int]:
    """Returns the rows of each table at the moment that was copied."""
    with closing(connect(source, "ro")) as origin, closing(connect(partial, "rw")) as target:
        # Within a transaction it stays one moment. Without, whatever another process writes
        # makes SQLite begin the copy anew, and under load it never ends.
        origin.execute("BEGIN")
        if version(source, origin) == 0:
            raise BackupError(f"Nothing is in {source}.")
        rows = _rows(origin)
        target.execute("PRAGMA journal_mode = OFF")  # a half copy is thrown away, not mended
        origin.backup(
            target,
            pages=_STEP,
            progress=lambda _status, remaining, total: progress(total - remaining, total),
        )
        target.execute("PRAGMA journal_mode = DELETE")  # so that it can be read where it lies
    return rows


def _sync(path: Path) -> None:
    """Wait until a file's content, or a folder's names, would survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check(path: Path) -> Checked:
    """Look at every page, index and reference of a file, as they are at one moment.

    Raises DatabaseRefusedError for a file that is not there or is not ours.
    """
    if not path.exists():
        raise DatabaseRefusedError(f"There is no {path}.")
    found = 0
    rows: dict[str, int] = {}
    faults = []
    try:
        with closing(connect(path, "ro")) as connection:
            connection.execute("BEGIN")
            found = version(path, connection)
            if found == 0:
                faults.append("nothing is in it")
            for (said,) in connection.execute(f"PRAGMA integrity_check({_FAULTS_MAX})"):
                if said != "ok":
                    faults.append(said)
            for table, parent, count in connection.execute(
                'SELECT "table", parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2'
            ):
                faults.append(f"{count} rows of {table} refer to rows that are not in {parent}")
            rows = _rows(connection)
    except sqlite3.Error as error:
        faults.append(str(error))
    return Checked(found, rows, faults)


def _rows(connection: sqlite3.Connection) -> dict[str, int]:
    tables = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        " ORDER BY name"
    ).fetchall()
    return {
        name: connection.execute(f"SELECT count(*) FROM {_quoted(name)}").fetchone()[0]
        for (name,) in tables
    }


def _quoted(name: str) -> str:
    """A table's name, which in a file from anywhere may be anything, as SQL."""
    return '"' + name.replace('"', '""') + '"'
