"""The way to a storage engine: the only module above the engines that knows them by name."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from service.config import Config
from service.domain.clock import Now
from service.repositories.base import Repositories
from service.repositories.sqlite.engine import backup
from service.repositories.sqlite.engine.database import SQLITE_VERSION
from service.repositories.sqlite.engine.migrate import SCHEMA
from service.repositories.sqlite.repositories import open_sqlite

ENGINE_VERSIONS = (("SQLite", SQLITE_VERSION, (3, 38, 0)),)
"""Engine, version, and the first version that knows all that the statements say."""

SCHEMA_VERSION = SCHEMA.version
"""The schema version that this release works with."""


@asynccontextmanager
async def open_repositories(
    config: Config, now: Now, *, serves: bool, creates: bool = False
) -> AsyncIterator[Repositories]:
    """Open the configured database, migrating it if need be, and close it at the end.

    A missing database is created if the process ``serves`` or ``creates``.

    Only one process may serve an SQLite file (``serves``); commands may work beside it. Raises
    DatabaseRefusedError if the database cannot be used.
    """
    async with open_sqlite(config, now, serves=serves, creates=creates) as repositories:
        yield repositories


def copy_database(
    config: Config, dest: Path, *, replace: bool, progress: Callable[[int, int], None]
) -> backup.Checked:
    """Copy the configured database, as it is at one moment, to the file ``dest``, and check it.

    ``progress`` is called with the pages copied and the pages in all. Raises BackupError.
    """
    return backup.copy(config.database, dest, replace=replace, progress=progress)


def check_database(path: Path) -> backup.Checked:
    """Check every page, index and reference of the file at ``path``. Raises BackupError."""
    return backup.check(path)
