"""The schema: created once by many instances, migrated in one transaction, never a newer one's."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from support.database import DatabaseSetting, FreshDatabase, fetch
from support.releases import DATA

from service.config import Config
from service.domain.errors import DatabaseRefusedError
from service.domain.postgresql_url import PostgresqlUrl
from service.repositories.connect import open_repositories
from service.repositories.postgresql.engine.connector import Connector
from service.repositories.postgresql.engine.migrate import SCHEMA, migrate, pending_migrations
from service.repositories.schema import Schema

pytestmark = pytest.mark.engine("postgresql")

VERSION = SCHEMA.version + 1
NEXT = Schema(SCHEMA.script, {VERSION: "ALTER TABLE videos ADD COLUMN studio text"})


@pytest.fixture
def connector(database: DatabaseSetting) -> Connector:
    """To a database without a schema."""
    assert isinstance(database, PostgresqlUrl)
    fetch(database, "DROP SCHEMA public CASCADE")
    fetch(database, "CREATE SCHEMA public")
    return Connector(database, 5, 5, 100)


FIRST = Schema((DATA / "postgresql-schema-1.sql").read_text(), {})
"""The schema of the first release with PostgreSQL."""

ROWS = """
    INSERT INTO videos (user_id, job_id, name, status, selected_insights, created_at, updated_at,
                        public_fields_json, segments)
    SELECT 'u', 'job-' || n, '', 'completed', '[]', now(), now(), '', repeat('x', 100 * n)::bytea
      FROM generate_series(1, 2) AS n;
    INSERT INTO shared_reports (user_id, video_id, share_hash, created_at, view_count,
                                bot_view_count, last_viewed_at, is_active, expires_at)
    SELECT 'u', 1, 'hash' || n, now(), n, 1, '2025-01-15T10:00:00Z', n < 3, '2030-01-01'
      FROM generate_series(0, 3) AS n"""

SHAPE = """
    SELECT 'column', table_name || '.' || column_name, ordinal_position || data_type
           || is_nullable || coalesce(column_default, '') || coalesce(generation_expression, '')
           || coalesce(collation_name, '')
      FROM information_schema.columns WHERE table_schema = 'public'
     UNION ALL
    SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
     UNION ALL
    SELECT 'options', relname, reloptions::text FROM pg_class
     WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
     UNION ALL
    SELECT 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint
     WHERE connamespace = 'public'::regnamespace
     UNION ALL
    SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
     UNION ALL
    SELECT 'function', proname, pg_get_functiondef(oid) FROM pg_proc
     WHERE pronamespace = 'public'::regnamespace
     ORDER BY 1, 2, 3"""


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
    assert await version(connector) == VERSION


async def test_migration_that_fails_leaves_the_database_as_it_was(connector: Connector) -> None:
    await migrate(connector)
    broken = Schema(SCHEMA.script, {VERSION: f"{NEXT.migrations[VERSION]}; SELECT 1 / 0"})
    with pytest.raises(DatabaseRefusedError, match="division by zero"):
        await migrate(connector, broken)
    assert await version(connector) == SCHEMA.version
    await migrate(connector, NEXT)
    assert await version(connector) == VERSION


async def test_schema_of_a_newer_release_is_refused(connector: Connector) -> None:
    await migrate(connector, NEXT)
    with pytest.raises(DatabaseRefusedError, match=f"schema version {VERSION}, and this program"):
        await migrate(connector)


def test_fresh_database_has_the_version_of_this_release(fresh_database: FreshDatabase) -> None:
    with fresh_database() as database:
        assert fetch(database, "SELECT version FROM schema_version") == [(SCHEMA.version,)]


async def test_migration_may_take_longer_than_any_other_statement(connector: Connector) -> None:
    await migrate(connector)
    hasty = replace(connector, statement_timeout=0.05)
    slow = Schema(SCHEMA.script, {VERSION: f"SELECT pg_sleep(0.1); {NEXT.migrations[VERSION]}"})
    await migrate(hasty, slow)
    assert await version(connector) == VERSION


async def test_migrated_database_has_the_current_schema_and_counts_its_rows(
    connector: Connector, fresh_database: FreshDatabase
) -> None:
    await migrate(connector, FIRST)
    for statement in ROWS.split(";"):
        fetch(connector.url, statement)
    await migrate(connector)
    with fresh_database() as fresh:
        assert fetch(connector.url, SHAPE) == fetch(fresh, SHAPE) != []
    assert fetch(connector.url, "SELECT * FROM user_usage") == [("u", 3, 2, 300)]
    [row] = fetch(connector.url, "SELECT * FROM video_views")
    assert row == (1, 6, 4, 0, None, "2025-01-15T10:00:00")
