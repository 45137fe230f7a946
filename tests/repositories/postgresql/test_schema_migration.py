"""The schema: created once by many instances, migrated in one transaction, never a newer one's."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

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

NEWER = SCHEMA.version + 1
ADD_COLUMN = "ALTER TABLE videos ADD COLUMN studio text"


def with_next(migration: str) -> Schema:
    """This release's schema, and a migration to the next version."""
    return Schema(SCHEMA.script, {**SCHEMA.migrations, NEWER: migration})


NEXT = with_next(ADD_COLUMN)
FIRST = (Path(__file__).parents[2] / "data/postgresql-schema-1.sql").read_text()
"""The schema of the first release that could use PostgreSQL."""

SHAPE = """
    SELECT 'column', table_name || '.' || column_name,
           concat_ws(' ', data_type, is_nullable, column_default, collation_name,
                     identity_generation, generation_expression)
      FROM information_schema.columns WHERE table_schema = 'public'
     UNION ALL
    SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
      FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
     UNION ALL
    SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
     UNION ALL
    SELECT 'function', proname, pg_get_functiondef(oid)
      FROM pg_proc WHERE pronamespace = 'public'::regnamespace
     UNION ALL
    SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
     UNION ALL
    SELECT 'storage', relname, reloptions::text FROM pg_class
     WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"""


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
    assert await version(connector) == NEWER


async def test_migrated_database_has_the_current_schema(
    connector: Connector, fresh_database: FreshDatabase
) -> None:
    await migrate(connector, Schema(FIRST, {}))
    assert await version(connector) == 1
    await migrate(connector)
    assert await version(connector) == SCHEMA.version
    with fresh_database() as fresh:
        assert sorted(fetch(connector.url, SHAPE)) == sorted(fetch(fresh, SHAPE))


async def test_migration_that_fails_leaves_the_database_as_it_was(connector: Connector) -> None:
    await migrate(connector)
    broken = with_next(f"{ADD_COLUMN}; SELECT 1 / 0")
    with pytest.raises(DatabaseRefusedError, match="division by zero"):
        await migrate(connector, broken)
    assert await version(connector) == SCHEMA.version
    await migrate(connector, NEXT)
    assert await version(connector) == NEWER


async def test_schema_of_a_newer_release_is_refused(connector: Connector) -> None:
    await migrate(connector, NEXT)
    refusal = f"schema version {NEWER}, and this program knows none"
    with pytest.raises(DatabaseRefusedError, match=refusal):
        await migrate(connector)


def test_fresh_database_has_the_version_of_this_release(fresh_database: FreshDatabase) -> None:
    with fresh_database() as database:
        assert fetch(database, "SELECT version FROM schema_version") == [(SCHEMA.version,)]


async def test_migration_may_take_longer_than_any_other_statement(connector: Connector) -> None:
    await migrate(connector)
    hasty = replace(connector, statement_timeout=0.05)
    await migrate(hasty, with_next(f"SELECT pg_sleep(0.1); {ADD_COLUMN}"))
    assert await version(connector) == NEWER
