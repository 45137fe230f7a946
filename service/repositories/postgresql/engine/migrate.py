"""The schema of the database: created in an empty one, migrated from an earlier release's.

Any number of instances may start at once: each does this under an advisory lock.
"""

import asyncpg
import structlog

from service.domain.errors import DatabaseRefusedError, UnavailableError
from service.repositories.postgresql.engine.connector import Connector
from service.repositories.postgresql.engine.errors import safe_text
from service.repositories.postgresql.engine.statements import Connection
from service.repositories.schema import Schema, shipped_schema

_OLDEST_SERVER = 14
_LOCK = 0x5368_6172_6564_5265  # any number that nobody else takes
_PATIENCE = 3600.0  # seconds; a migration may take longer than any other statement

log = structlog.get_logger()

SCHEMA = shipped_schema("service.repositories.postgresql")
"""This release's schema."""


async def migrate(connector: Connector, schema: Schema = SCHEMA, *, creates: bool = True) -> str:
    """Bring the database to ``schema``; create it in an empty one if the caller ``creates``.

    Each migration is one transaction. Return the server's version. Raises DatabaseRefusedError if
    the database can't be reached, has no schema, has a newer one, or a migration fails.
    """
    connection = await connect_or_refuse(connector)
    try:
        version = server_version(connection)
        current = await _run(connection, schema, None, creates=creates)
        while current < schema.version:
            current = await _run(connection, schema, current + 1, creates=creates)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise DatabaseRefusedError(f"The database can't be used: {safe_text(error)}") from error
    finally:
        connection.terminate()
    return version


async def pending_migrations(connector: Connector, schema: Schema = SCHEMA) -> tuple[int, int]:
    """Return the schema version of the database, 0 for none, and the one it would be brought to.

    Raises DatabaseRefusedError likewise.
    """
    connection = await connect_or_refuse(connector)
    try:
        return await found_version(connection, schema), schema.version
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise DatabaseRefusedError(f"The database can't be used: {safe_text(error)}") from error
    finally:
        connection.terminate()


def server_version(connection: Connection) -> str:
    """Return the server's version, ``18.4``. Raises DatabaseRefusedError if it is too old."""
    version = connection.get_server_version()
    if version.major < _OLDEST_SERVER:
        raise DatabaseRefusedError(
            f"This is PostgreSQL {version.major}; {_OLDEST_SERVER} or later is needed."
        )
    return f"{version.major}.{version.micro}"


async def connect_or_refuse(connector: Connector, purpose: str = "start") -> Connection:
    """Open a connection. Raises DatabaseRefusedError if that fails."""
    try:
        return await connector.connect(purpose)
    except (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        OSError,
        TimeoutError,
        UnavailableError,
        ValueError,
    ) as error:
        raise DatabaseRefusedError(
            f"{connector.url}: no connection: {connector.url.without_password(safe_text(error))}"
        ) from error


async def _run(connection: Connection, schema: Schema, target: int | None, *, creates: bool) -> int:
    """Create the schema, or run the migration to ``target``, unless another process was first.

    Return the version that is found afterwards.
    """
    async with connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})", timeout=_PATIENCE)
        current = await found_version(connection, schema)
        if current == 0:
            if not creates:
                raise DatabaseRefusedError("There is nothing in the database")
            await connection.execute(schema.script, timeout=_PATIENCE)
            return await found_version(connection, schema)
        if current + 1 == target:
            await connection.execute(schema.migrations[target], timeout=_PATIENCE)
            await connection.execute("UPDATE schema_version SET version = $1", target)
            log.info("migrated", version=target)
            return target
    return current


async def found_version(connection: Connection, schema: Schema = SCHEMA) -> int:
    """Return the database's schema version; 0 if it has none.

    Raises DatabaseRefusedError if it is newer than ``schema``.
    """
    if await connection.fetchval("SELECT to_regclass('schema_version')") is None:
        return 0
    current = int(await connection.fetchval("SELECT version FROM schema_version"))
    if current > schema.version:
        raise DatabaseRefusedError(
            f"The database has schema version {current}, and this program knows none after "
            f"{schema.version}: a newer release has used it. Start that release instead."
        )
    return current
