"""The way to a storage engine: the only module above the engines that knows them by name."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

from service.config import Config
from service.domain.clock import Now
from service.domain.errors import BackupError, ConfigError
from service.domain.postgresql_url import PostgresqlUrl, is_postgresql
from service.repositories.base import Repositories
from service.repositories.sqlite.engine import backup
from service.repositories.sqlite.engine.database import SQLITE_VERSION
from service.repositories.sqlite.engine.migrate import SCHEMA, found_version
from service.repositories.sqlite.repositories import open_sqlite
from service.repositories.sqlite.transfer import open_source
from service.repositories.transfer import Progress, transfer

ENGINE_VERSIONS = (("SQLite", SQLITE_VERSION, (3, 38, 0)),)
"""Engine, version, and the first version that knows all that the statements say."""

SCHEMA_VERSION = SCHEMA.version
"""The schema version that this release works with."""


_BACKUP = (
    "PostgreSQL makes its own copies: pg_dump --format=custom --file={dest} '{url}', and "
    "continuous archiving of its log."
)
_CHECK = "PostgreSQL checks its own files: pg_amcheck --all --heapallindexed '{url}'."
_COPY = (
    "{path} is an SQLite file, and a copy goes to PostgreSQL: set SHARED_REPORTS_DATABASE to its "
    "address. Between files use backup"
)
_VISIBLE = (
    "An argument shows the password to other users of the machine: put it into PGPASSWORD or into "
    "~/.pgpass"
)
_NOT_INSTALLED = (
    "PostgreSQL needs a library that is not installed: pip install 'shared-reports[postgresql]'"
)


@asynccontextmanager
async def open_repositories(
    config: Config,
    now: Now,
    *,
    serves: bool,
    creates: bool = False,
    decides: bool = False,
) -> AsyncIterator[Repositories]:
    """Open the configured database, migrating it if need be, and close it at the end.

    A missing database is created if the process ``serves`` or ``creates``.

    Only one process may serve an SQLite file (``serves``), and ``now`` is its clock; commands may
    work beside it. Any number of processes may serve a PostgreSQL database, and the server's clock
    is that of all of them, unless ``now`` ``decides``. Raises DatabaseRefusedError if the database
    cannot be used, and ConfigError if the library for it is not installed.
    """
    if isinstance(config.database, PostgresqlUrl):
        opened = _postgresql().open_postgresql(
            config, config.database, now if decides else None, creates=serves or creates
        )
        async with opened as postgresql:
            yield postgresql
    else:
        opened = open_sqlite(config, now, serves=serves, creates=creates, decides=decides)
        async with opened as sqlite:
            yield sqlite


def _postgresql(module: str = "repositories") -> ModuleType:
    """Return a module of the engine; its library is optional. Raises ConfigError without it."""
    try:
        return import_module(f"service.repositories.postgresql.{module}")
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise ConfigError(_NOT_INSTALLED) from error


async def schema_versions(config: Config) -> tuple[int, int]:
    """Return the schema version of the database, 0 if it has none, and this release's.

    Raises DatabaseRefusedError if the database can't be used or has a newer schema.
    """
    if isinstance(config.database, PostgresqlUrl):
        versions: tuple[int, int] = await _postgresql().schema_versions(config, config.database)
        return versions
    return found_version(config.database), SCHEMA.version


def copy_database(
    config: Config, dest: Path, *, replace: bool, progress: Callable[[int, int], None]
) -> backup.Checked:
    """Copy the configured database, as it is at one moment, to the file ``dest``, and check it.

    ``progress`` is called with the pages copied and the pages in all. Raises BackupError.
    """
    if isinstance(config.database, PostgresqlUrl):
        raise BackupError(_BACKUP.format(url=config.database, dest=dest))
    return backup.copy(config.database, dest, replace=replace, progress=progress)


def check_database(config: Config, file: Path | None) -> tuple[Path, backup.Checked]:
    """Check every page, index and reference of ``file``, by default the configured database.

    Return the path with what was found. Raises BackupError.
    """
    if file is None and isinstance(config.database, PostgresqlUrl):
        raise BackupError(_CHECK.format(url=config.database))
    path = file or config.sqlite_file
    return path, backup.check(path)


async def copy_from(config: Config, source: str, progress: Progress) -> dict[str, int]:
    """Copy everything in ``source`` into the configured PostgreSQL database, which must be empty.

    ``source`` is the path of an SQLite file or the address of a PostgreSQL database. Nothing may
    serve it meanwhile. All is copied and compared, or nothing. Return the rows by table.

    Raises ConfigError for a configured file, and for a password in the address; BackupError if the
    copy fails; DatabaseRefusedError if one of the databases can't be used for it.
    """
    if not isinstance(config.database, PostgresqlUrl):
        raise ConfigError(_COPY.format(path=config.database))
    engine = _postgresql("transfer")
    async with AsyncExitStack() as stack:
        if is_postgresql(source):
            url = PostgresqlUrl(source)
            if url.has_password:
                raise ConfigError(_VISIBLE)
            opened = await stack.enter_async_context(engine.open_source(config, url))
        else:
            opened = stack.enter_context(open_source(Path(source)))
        target = await stack.enter_async_context(engine.open_target(config, config.database))
        return await transfer(opened, target, progress)
