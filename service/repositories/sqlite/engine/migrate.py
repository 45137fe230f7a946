"""The schema of the file: created in an empty file, migrated from an earlier release's."""

import glob
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import structlog

from service.domain.errors import DatabaseRefusedError
from service.domain.normal_form import nfc
from service.repositories.schema import Schema, shipped_schema
from service.repositories.sqlite.engine.backup import copy_file
from service.repositories.sqlite.engine.file import APPLICATION_ID, BUSY_MS, connect, version
from service.repositories.sqlite.engine.lock import serve_lock

log = structlog.get_logger()

SCHEMA = shipped_schema("service.repositories.sqlite")
"""This release's schema."""


def migrate(path: Path, schema: Schema = SCHEMA, *, creates: bool = True) -> None:
    """Bring the file at ``path`` to ``schema``; make a missing one if the caller ``creates``.

    Each migration is one transaction: a crash in the middle leaves nothing of it. The file is
    copied before the first one, to a file beside it: ``.before-2`` before version 2.

    Raises DatabaseRefusedError for a file that is missing, not ours or newer than ``schema``, and
    for an older one that another process serves or whose migration fails; sqlite3.Error if SQLite
    can't use the file.
    """
    if not creates and not path.exists():
        raise DatabaseRefusedError(f"There is no {path}")
    if path.parent.is_dir() and not path.exists():
        path.touch(mode=0o600)  # it holds share hashes; SQLite gives its other files this mode
    with closing(connect(path, "rw")) as connection:
        current = _known_version(path, connection, schema)
        if current == 0 and not creates:
            raise DatabaseRefusedError(f"There is nothing in {path}")
        connection.execute("PRAGMA journal_mode = WAL")
        if current == 0:
            _create(path, connection, schema)
    if 0 < current < schema.version:
        # A service of the earlier release would fail on the new schema, and it checkpoints.
        refusal = (
            f"has schema version {current}, this program needs {schema.version}, and another "
            "process is serving or migrating it: stop that one first"
        )
        with (  # the connection is closed first: see the lock module
            serve_lock(path, refusal, patience=BUSY_MS / 1000),
            closing(connect(path, "rw")) as connection,
        ):
            _migrate(path, connection, schema)


def found_version(path: Path, schema: Schema = SCHEMA) -> int:
    """Return the schema version of the file at ``path``; 0 if there is none, or nothing in it.

    Raises DatabaseRefusedError for a file that is not ours or newer than ``schema``.
    """
    path = path.resolve()
    if not path.exists():
        return 0
    try:
        with closing(connect(path, "ro")) as connection:
            return _known_version(path, connection, schema)
    except sqlite3.Error as error:
        raise DatabaseRefusedError(f"{path}: {error}") from error


def _known_version(path: Path, connection: sqlite3.Connection, schema: Schema) -> int:
    current = version(path, connection)
    if current > schema.version:
        raise DatabaseRefusedError(
            f"{path} has schema version {current}, and this program knows none after "
            f"{schema.version}: a newer release has used it. Start that release instead."
        )
    return current


def _create(path: Path, connection: sqlite3.Connection, schema: Schema) -> None:
    with _transaction(connection):
        if version(path, connection) == 0:  # another process may have been first
            _run(connection, schema.script)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {schema.version}")


def _migrate(path: Path, connection: sqlite3.Connection, schema: Schema) -> None:
    connection.execute("PRAGMA foreign_keys = OFF")  # has no effect within a transaction
    connection.create_function("nfc", 1, lambda text: text and nfc(text), deterministic=True)
    current = _known_version(path, connection, schema)  # another process may have been first
    for target in range(current + 1, schema.version + 1):
        try:
            with _transaction(connection):
                if target == current + 1:  # nobody else can write now: the copy is complete
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
        shutil.rmtree(partial)  # left by a migration that was killed: it held the lock that we hold
    log.info("copying the database before its migration", copy=str(kept))
    copy_file(path, kept, replace=True)


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
        if connection.in_transaction:  # on a full disk, SQLite has rolled back already
            connection.execute("ROLLBACK")
        raise


def _run(connection: sqlite3.Connection, script: str) -> None:
    """Run a script's statements one by one: executescript would commit first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
    connection.execute(statement)
