"""Copies of a database in use, and integrity checks of a file.

Both read one snapshot of the file through a read-only connection. The service goes on writing
meanwhile, and its write-ahead log grows until they are done.
"""

import os
import re
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from service.domain.errors import BackupError, DatabaseRefusedError
from service.repositories.sqlite.engine.file import connect, version
from service.repositories.sqlite.engine.lock import refuse_ambiguous_file, refuse_hard_links

_STEP = 256  # pages between two calls of a copy's progress: 1 MiB
_FAULTS_MAX = 20
_RESERVED_NAME = re.compile(r".*(-wal|-shm|-journal|\.lock|\.before-[0-9]+|\.partial)")
"""Names of the files that SQLite and this program keep beside a database."""

Progress = Callable[[int, int], None]
"""Called with the number of pages that are done, and of all pages."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of an integrity check."""

    version: int
    """The schema version; 0 if the file has no schema."""
    rows: dict[str, int]
    """Rows by table."""
    faults: list[str]
    """Sentences; empty if the file is sound."""


def copy(
    source: Path,
    dest: Path,
    *,
    replace: bool = False,
    progress: Progress = lambda _done, _of: None,
) -> Checked:
    """Copy one snapshot of the database ``source`` to the file ``dest``, and check the copy.

    ``dest`` appears when it is complete, checked and on disk: a single file with mode 0600. A kill
    leaves at most a folder whose name ends in ``.partial``.

    Raises BackupError if ``dest`` exists (unless ``replace``) or has a name that no copy may have,
    if either file fails, and if the copy differs from the source; DatabaseRefusedError if a
    running service has another file open than ``source``.
    """
    if _RESERVED_NAME.fullmatch(dest.name):
        raise BackupError(f"{dest} is a name for what stands beside a database, not for a copy.")
    source = source.resolve()
    refuse_hard_links(source)
    refuse_ambiguous_file(source)
    return copy_file(source, dest, replace=replace, progress=progress)


def copy_file(
    source: Path,
    dest: Path,
    *,
    replace: bool = False,
    progress: Progress = lambda _done, _of: None,
) -> Checked:
    """Copy as ``copy`` does, to any name, from a ``source`` that the caller has locked."""
    if not source.exists():
        raise BackupError(f"There is no {source}.")
    _refuse_destination(source, dest, replace=replace)
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
            _refuse_destination(source, dest, replace=replace)  # copying may have taken long
            partial.replace(dest)
            _sync(dest.parent)
    except (sqlite3.Error, DatabaseRefusedError) as error:
        raise BackupError(f"{source} could not be copied to {dest}: {error}") from error
    return copied


def _refuse_destination(source: Path, dest: Path, *, replace: bool) -> None:
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
    """Return the rows of each table in the snapshot that was copied."""
    with closing(connect(source, "ro")) as origin, closing(connect(partial, "rw")) as target:
        # A transaction keeps the snapshot. Without one, each write of another process makes SQLite
        # begin the copy anew, and under load the copy never ends.
        origin.execute("BEGIN")
        if version(source, origin) == 0:
            raise BackupError(f"Nothing is in {source}.")
        rows = _rows(origin)
        target.execute("PRAGMA journal_mode = OFF")  # an incomplete copy is deleted, not repaired
        origin.backup(
            target,
            pages=_STEP,
            progress=lambda _status, remaining, total: progress(total - remaining, total),
        )
        target.execute(
            "PRAGMA journal_mode = DELETE"
        )  # readable in a folder that nobody may write to
    return rows


def _sync(path: Path) -> None:
    """Wait until a file's content, or a folder's names, survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check(path: Path) -> Checked:
    """Check every page, index and reference in one snapshot of a file.

    Raises DatabaseRefusedError for a file that is missing or not ours, and if a running service has
    another file open at this path.
    """
    path = path.resolve()
    if not path.exists():
        raise DatabaseRefusedError(f"There is no {path}.")
    refuse_ambiguous_file(path)
    file_version = 0
    rows: dict[str, int] = {}
    faults = []
    try:
        with closing(connect(path, "ro")) as connection:
            connection.execute("BEGIN")
            file_version = version(path, connection)
            if file_version == 0:
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
    return Checked(file_version, rows, faults)


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
