"""The schema: created once by many instances, migrated in one transaction, never a newer one's."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from support.database import DatabaseSetting, FreshDatabase, fetch

from service.config import Config
from service.domain.errors import DatabaseRefusedError
from service.domain.postgresql_url import PostgresqlUrl
from service.repositories.connect import open_repositories
from service.repositories.postgresql.engine.connector import Connector
from service.repositories.postgresql.engine.migrate import SCHEMA, migrate, pending_migrations
from service.repositories.schema import Schema

pytestmark = pytest.mark.engine("postgresql")

CURRENT = SCHEMA.version
ADD = "ALTER TABLE videos ADD COLUMN studio text"
NEXT = Schema(SCHEMA.script, {CURRENT + 1: ADD})


@pytest.fixture
def connector(database: DatabaseSetting) -> Connector:
    """To a database without a schema."""
    assert isinstance(database, PostgresqlUrl)
    fetch(database, "DROP SCHEMA public CASCADE")
    fetch(database, "CREATE SCHEMA public")
    return Connector(database, 5, 5, 100)


async def version(connector: Connector) -> int:
    found, _ = await pending_migrations(connector, NEXT)
    return found


async def test_schema_is_created_once_by_instances_that_start_together(
    connector: Connector,
) -> None:
    async with AsyncExitStack() as stack:
        config = Config(database=connector.url)
        await asyncio.gather(
            *(
                stack.enter_async_context(open_repositories(config, lambda: "", serves=True))
                for _ in range(5)
            )
        )
    assert await version(connector) == SCHEMA.version


async def test_command_creates_no_schema_unless_it_may(connector: Connector) -> None:
    with pytest.raises(DatabaseRefusedError, match="There is nothing in the database"):
        await migrate(connector, creates=False)
    assert await version(connector) == 0


async def test_migration_runs_once_for_instances_that_start_together(
    connector: Connector,
) -> None:
    await migrate(connector)
    await asyncio.gather(*(migrate(connector, NEXT) for _ in range(4)))
    assert await version(connector) == CURRENT + 1


async def test_migration_that_fails_leaves_the_database_as_it_was(connector: Connector) -> None:
    await migrate(connector)
    broken = Schema(SCHEMA.script, {CURRENT + 1: f"{ADD}; SELECT 1 / 0"})
    with pytest.raises(DatabaseRefusedError, match="division by zero"):
        await migrate(connector, broken)
    assert await version(connector) == CURRENT
    await migrate(connector, NEXT)
    assert await version(connector) == CURRENT + 1


async def test_schema_of_a_newer_release_is_refused(connector: Connector) -> None:
    await migrate(connector, NEXT)
    refusal = f"schema version {CURRENT + 1}, and this program knows none"
    with pytest.raises(DatabaseRefusedError, match=refusal):
        await migrate(connector)


def test_fresh_database_has_the_version_of_this_release(fresh_database: FreshDatabase) -> None:
    with fresh_database() as database:
        assert fetch(database, "SELECT version FROM schema_version") == [(SCHEMA.version,)]


async def test_migration_may_take_longer_than_any_other_statement(connector: Connector) -> None:
    await migrate(connector)
    hasty = replace(connector, statement_timeout=0.05)
    slow = Schema(SCHEMA.script, {CURRENT + 1: f"SELECT pg_sleep(0.1); {ADD}"})
    await migrate(hasty, slow)
    assert await version(connector) == CURRENT + 1
