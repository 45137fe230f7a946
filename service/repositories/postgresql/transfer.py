"""A PostgreSQL database as the source or the target of a copy."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import asyncpg

from service.config import Config
from service.domain.errors import BackupError, DatabaseRefusedError
from service.domain.postgresql_url import PostgresqlUrl
from service.repositories.postgresql.engine.connector import APPLICATION
from service.repositories.postgresql.engine.errors import safe_text
from service.repositories.postgresql.engine.migrate import (
    SCHEMA,
    connect_or_refuse,
    found_version,
    migrate,
    server_version,
)
from service.repositories.postgresql.engine.statements import Connection
from service.repositories.postgresql.repositories import connector_for
from service.repositories.transfer import BATCH_ROWS, TABLES, Row, Table

_PATIENCE = 3600.0  # seconds; a statement may take longer than any of a service
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # of the server
_SECOND = 1_000_000  # microseconds
_NAMES = ", ".join(table.name for table in TABLES)

# Others may read meanwhile; who wants to write waits until the copy is complete.
_LOCK = f"LOCK TABLE {_NAMES} IN SHARE ROW EXCLUSIVE MODE"

# What a session says of itself; a service has one for each kind of work.
_SESSIONS = f"""
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid()
       AND application_name = ANY('{{{APPLICATION} lookups,{APPLICATION} writer}}')"""

_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class PostgresqlSource:
    """A database, in one snapshot: see ``transfer.Source``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def counts(self) -> Mapping[str, int]:
        """Return the number of rows of each table."""
        return {
            table.name: await self._connection.fetchval(f"SELECT count(*) FROM {table.name}")
            for table in TABLES
        }

    async def rows(self, table: Table) -> AsyncIterator[Sequence[Row]]:
        """Return the rows of a table in batches, in the order of its key."""
        size = 1 if table.has_large_column else BATCH_ROWS
        async for rows in _fetch(self._connection, table, table.columns, size):
            yield rows

    async def last_ids(self) -> Mapping[str, int]:
        """Return the largest id that each table has given out, by table."""
        return {
            table.name: await self._last_id(table.name) for table in TABLES if table.numbers_ids
        }

    async def _last_id(self, table: str) -> int:
        sequence = await self._connection.fetchval("SELECT pg_get_serial_sequence($1, 'id')", table)
        last, is_called = await self._connection.fetchrow(
            f"SELECT last_value, is_called FROM {sequence}"
        )
        return int(last) if is_called else 0


class PostgresqlTarget:
    """A database, in one transaction: see ``transfer.Target``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def write(self, table: Table, rows: Sequence[Row]) -> None:
        """Store rows. Raises BackupError if the server takes a value of one of them for invalid."""
        try:
            await self._connection.copy_records_to_table(
                table.name, columns=table.columns, records=rows
            )
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            raise BackupError(
                f"Nothing was copied: PostgreSQL does not take a row of {table.name}, one from "
                f"{table.key[0]} {rows[0][0]} to {rows[-1][0]}: {safe_text(error)}"
            ) from error

    async def stored(self, table: Table) -> AsyncIterator[Sequence[Row]]:
        """Return the stored rows in batches, a large value as its SHA-256."""
        columns = table.columns
        if table.has_large_column:
            columns = (*columns[:-1], f"sha256({columns[-1]})")
        async for rows in _fetch(self._connection, table, columns, BATCH_ROWS):
            yield rows

    async def set_last_ids(self, last_ids: Mapping[str, int]) -> None:
        """Let each new id be larger than these, and than all stored ones."""
        for table in TABLES:
            if table.numbers_ids:
                largest = await self._connection.fetchval(f"SELECT max(id) FROM {table.name}")
                start = max(largest or 0, last_ids.get(table.name, 0)) + 1
                await self._connection.execute(
                    f"ALTER TABLE {table.name} ALTER COLUMN id RESTART WITH {start:d}"
                )


async def _fetch(
    connection: Connection, table: Table, columns: Sequence[str], size: int
) -> AsyncIterator[Sequence[Row]]:
    cursor = await connection.cursor(
        f"SELECT {', '.join(columns)} FROM {table.name} ORDER BY {', '.join(table.key)}"
    )
    while rows := await cursor.fetch(size):
        yield [tuple(row) for row in rows]


@asynccontextmanager
async def open_source(config: Config, url: PostgresqlUrl) -> AsyncIterator[PostgresqlSource]:
    """Open a database to copy everything in it.

    Raises DatabaseRefusedError if it can't be reached or read, has no schema or one of another
    version, or if an instance of the service runs on it.
    """
    connector = replace(connector_for(config, url), statement_timeout=_PATIENCE)
    connection = await connect_or_refuse(connector, "copy")
    try:
        server_version(connection)
        await _read_times_as_text(connection)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await _refuse_source(connection, url)
            yield PostgresqlSource(connection)
    except _ERRORS as error:
        raise DatabaseRefusedError(f"{url} can't be read: {safe_text(error)}") from error
    finally:
        connection.terminate()


async def _refuse_source(connection: Connection, url: PostgresqlUrl) -> None:
    current = await found_version(connection)
    if current == 0:
        raise DatabaseRefusedError(f"There is nothing in {url}.")
    if current < SCHEMA.version:
        raise DatabaseRefusedError(
            f"{url} has schema version {current}, and this program copies {SCHEMA.version}: run "
            f"shared-reports migrate on it first."
        )
    if await connection.fetchval(_SESSIONS):
        raise DatabaseRefusedError(
            f"{url} is being served: stop all instances first, because what they write during the "
            "copy would be missing."
        )


@asynccontextmanager
async def open_target(config: Config, url: PostgresqlUrl) -> AsyncIterator[PostgresqlTarget]:
    """Open an empty database, whose schema is created if it has none, to fill it.

    All is committed when the context ends, or nothing. Raises DatabaseRefusedError if the database
    can't be used or is not empty, and BackupError if it can't be filled.
    """
    connector = replace(connector_for(config, url), statement_timeout=_PATIENCE)
    await migrate(connector)
    connection = await connect_or_refuse(connector, "copy")
    transaction = connection.transaction()
    try:
        await _read_times_as_text(connection)
        await transaction.start()
        await connection.execute(_LOCK)
        await _refuse_content(connection, url)
        yield PostgresqlTarget(connection)
        await connection.execute(f"ANALYZE {_NAMES}")  # or the first statements have bad plans
    except _ERRORS as error:
        raise BackupError(f"Nothing was copied to {url}: {safe_text(error)}") from error
    else:
        await _commit(transaction, url)
    finally:
        connection.terminate()


async def _refuse_content(connection: Connection, url: PostgresqlUrl) -> None:
    filled = [
        table.name
        for table in TABLES
        if await connection.fetchval(f"SELECT EXISTS (SELECT 1 FROM {table.name})")
    ]
    if filled:
        served = " An instance was started on it." if filled == ["signing_key"] else ""
        raise DatabaseRefusedError(
            f"{url} is not empty: there are rows of {', '.join(filled)}.{served} Copy into a new "
            "database."
        )


async def _commit(transaction: asyncpg.transaction.Transaction, url: PostgresqlUrl) -> None:
    try:
        await transaction.commit()
    except _ERRORS as error:
        raise BackupError(
            f"{url}: the end of the copy was not confirmed: {safe_text(error)}. Run the command "
            "again: if it says that the database is not empty, the copy is complete."
        ) from error


async def _read_times_as_text(connection: Connection) -> None:
    """Let times be the texts of the domain; COPY needs the binary form of a value."""
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        encoder=_to_wire,
        decoder=_from_wire,
        format="tuple",
    )


@lru_cache(maxsize=65_536)
def _to_wire(text: str) -> tuple[int]:
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return ((moment - _EPOCH) // timedelta(seconds=1) * _SECOND,)


def _from_wire(value: tuple[int]) -> str:
    return _text(value[0])


@lru_cache(maxsize=65_536)
def _text(microseconds: int) -> str:
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat()[:19]
