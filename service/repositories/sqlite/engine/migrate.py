"""The schema in the file: made where there is none, migrated where it is an earlier release's."""

import glob
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import structlog

from service.domain.errors import DatabaseRefusedError
from service.repositories.sqlite.engine.backup import copy
from service.repositories.sqlite.engine.file import APPLICATION_ID, BUSY_MS, alone, connect, version

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema, and what leads to it from earlier ones."""

    script: str
    """The SQL that makes it in an empty file."""
    migrations: Mapping[int, str]
    """SQL by the version that it leads to, from the one before: 2, 3 and so on without a gap."""

    @property
    def version(self) -> int:
        """The version's number."""
        return max(self.migrations, default=1)


def _shipped() -> Schema:
    package = resources.files("service.repositories.sqlite")
    files = (package / "migrations").iterdir()
    return Schema(
        (package / "schema.sql").read_text(encoding="utf-8"),
        {
            int(file.name[:4]): file.read_text(encoding="utf-8")
            for file in files
            if file.name.endswith(".sql")
        },
    )


SCHEMA = _shipped()
"""This release's schema."""


def prepare(path: Path, schema: Schema = SCHEMA) -> None:
    """Bring the file at ``path`` to ``schema``, creating it where it is missing.

    Each migration is one transaction: killed in the middle, it is as if it had never begun. Before
    the first, the file is copied to one beside it, ``.before-2`` where that leads to version 2.

    Raises DatabaseRefusedError for a file that is not ours or newer than ``schema``, and for an
    older one that another process serves or that can't be migrated; sqlite3.Error where SQLite
    can't use the file.
    """
    if path.parent.is_dir() and not path.exists():
        path.touch(mode=0o600)  # it holds share hashes; SQLite's other files take after it
    with closing(connect(path, "rwc")) as connection:
        found = _known_version(path, connection, schema)
        connection.execute("PRAGMA journal_mode = WAL")
        if found == 0:
            _create(path, connection, schema)
        elif found < schema.version:
            # A service of the earlier release would fail on the new schema, and checkpoints.
            refusal = (
                f"has schema version {found}, this program needs {schema.version}, and another "
                "process is serving or migrating it: stop that one first"
            )
            with alone(path, refusal, patience=BUSY_MS / 1000):
                _migrate(path, connection, schema)


def _known_version(path: Path, connection: sqlite3.Connection, schema: Schema) -> int:
    found = version(path, connection)
    if found > schema.version:
        raise DatabaseRefusedError(
            f"{path} has schema version {found}, and this program knows none after "
            f"{schema.version}: a newer release has used it. Start that release instead."
        )
    return found


def _create(path: Path, connection: sqlite3.Connection, schema: Schema) -> None:
    with _transaction(connection):
        if version(path, connection) == 0:  # another process may have been first
            _run(connection, schema.script)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {schema.version}")


def _migrate(path: Path, connection: sqlite3.Connection, schema: Schema) -> None:
    connection.execute("PRAGMA foreign_keys = OFF")  # has no effect within a transaction
    found = _known_version(path, connection, schema)  # another process may have been first
    for target in range(found + 1, schema.version + 1):
        try:
            with _transaction(connection):
                if target == found + 1:  # now nobody can write, so the copy misses nothing
                    _keep_copy(path, target)
                _run(connection, schema.migrations[target])
                _check_references(connection)
                connection.execute(f"PRAGMA user_version = {target}")
        except sqlite3.Error as error:
            raise DatabaseRefusedError(
                f"{path} stays at schema version {target - 1}: the migration to {target} failed: "
                f"{error}"
            ) from error
        log.info("migrated", version=target)


def _keep_copy(path: Path, target: int) -> None:
    kept = path.with_name(f"{path.name}.before-{target}")
    for partial in path.parent.glob(f"{glob.escape(kept.name)}.*.partial"):
        shutil.rmtree(partial)  # of one that was killed: it had the lock that we have
    log.info("copying the database before its migration", copy=str(kept))
    copy(path, kept, replace=True)


def _check_references(connection: sqlite3.Connection) -> None:
    dangling = connection.execute("PRAGMA foreign_key_check").fetchall()
    if dangling:
        tables = ", ".join(sorted({row[0] for row in dangling}))
        raise sqlite3.IntegrityError(f"it leaves references to nothing in {tables}")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite ends it by itself when the disk is full
            connection.execute("ROLLBACK")
        raise


def _run(connection: sqlite3.Connection, script: str) -> None:
    """Run a script's statements one by one; executescript would commit half-way."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
    connection.execute(statement)
