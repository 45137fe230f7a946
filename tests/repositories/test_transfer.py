"""A copy to PostgreSQL: links that are out in the world go on working, or nothing has happened."""

import asyncio
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.access import PASSWORD, token_for, unlock
from support.database import (
    DatabaseSetting,
    FreshDatabase,
    contents,
    execute_many,
    fetch,
)
from support.harness import Caller, Service, Start, export, segment
from support.idempotency import create, is_replay_of
from support.links import ROUTES

from service.config import Config
from service.domain.errors import BackupError, DatabaseRefusedError
from service.domain.events import EventRange
from service.domain.postgresql_url import PostgresqlUrl
from service.repositories.connect import copy_from
from service.repositories.sqlite.analyses import PART_BYTES
from service.repositories.sqlite.engine.lock import serve_lock
from service.repositories.sqlite.engine.migrate import migrate
from service.repositories.transfer import BATCH_ROWS, TABLES, in_batches
from service.web.app_keys import REPOSITORIES, VIEWS

pytestmark = pytest.mark.engine("postgresql")

REPORTS = "/api/shared-reports"
_FORM_ID = re.compile(rb'value="[0-9a-f]{32}"')  # new in each form
_USAGE = "SELECT * FROM user_usage ORDER BY user_id"
TABLE = {table.name: table for table in TABLES}
NO_ROWS = dict.fromkeys(TABLE, 0)


def ignore(_what: str, _done: int, _of: int) -> None:
    """No progress is shown."""


def large(word: str) -> dict[str, Any]:
    """An export whose analysis has three parts."""
    count = 3 * PART_BYTES // 8_200
    return export(segments=[segment(n, n + 1, content=word * 2_000) for n in range(count)])


async def make_world(service: Service) -> dict[str, str]:
    """Links of every kind; returns their hashes."""
    alice = service.alice
    await alice.put_video(segments=[segment(0, 1.5), segment(2, 3, "objects")])
    await alice.put("/api/videos/job-2", large("wide"))
    await alice.put("/api/videos/job-2", large("tall"))
    await alice.put_video("job-3", name="gone")
    fields: dict[str, dict[str, Any]] = {
        "open": {"label": "press", "note": "für die Messe ☀"},
        "large": {"video_id": "job-2"},
        "protected": {"password": PASSWORD},
        "limited": {"max_views": 2},
        "exhausted": {"max_views": 1},
        "expired": {"expires_at": "2025-01-15T10:00:30"},
        "expires": {"expires_at": "2025-01-16T10:00:00"},
        "scheduled": {"not_before": "2025-01-16T10:00:00"},
        "part": {"modules": ["objects"]},
        "off": {},
        "rotated": {},
        "revoked": {"video_id": "job-3"},
    }
    made = {name: await alice.share(**given) for name, given in fields.items()}
    for name in ("limited", "exhausted"):
        assert (await unlock(service, made[name]["share_hash"])).status == 200
    assert (await service.public.get(f"/r/{made['open']['share_hash']}")).status == 200
    await alice.patch(f"{REPORTS}/{made['off']['id']}", {"is_active": False})
    rotated = await alice.post(f"{REPORTS}/{made['rotated']['id']}/rotate")
    made["rotated"] = rotated.json
    await alice.share()
    await service.advance(60)
    await service.sweep()
    return {name: report["share_hash"] for name, report in made.items()}


async def links_seen(service: Service, hashes: dict[str, str]) -> dict[str, Any]:
    """All that the holders of links see, to the byte."""
    paths = [route.format(share_hash) for share_hash in hashes.values() for route in ROUTES]
    answers = {path: await service.public.get(path) for path in paths}
    await service.app[VIEWS].write()
    return {
        path: (answer.status, _FORM_ID.sub(b"", answer.body)) for path, answer in answers.items()
    }


async def lists_seen(caller: Caller) -> dict[str, Any]:
    """All that an owner sees, to the byte."""
    videos = ("/api/videos", "/api/videos/job-2/segments", "/api/videos/job-3")
    paths = (REPORTS, *videos, "/api/videos/job-1/views")
    answers = {path: await caller.get(path) for path in paths}
    assert {answer.status for answer in answers.values()} == {200}
    return {path: answer.body for path, answer in answers.items()}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An SQLite file with the schema and nothing else."""
    path = tmp_path / "source.sqlite3"
    migrate(path)
    return path


WORLD = NO_ROWS | {
    "signing_key": 1,
    "api_keys": 2,
    "videos": 3,
    "view_statistics": 10,
    "video_views": 2,
    "revocations": 1,
    "idempotency_keys": 1,
}
"""Rows of the world below, without its links."""


async def _nothing_deleted(_limit: int) -> int:
    return 0


async def test_copy_lets_links_keys_and_tokens_work_as_before(
    start: Start, config: Config, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, lookup_rate_limit=None, base_url="https://reports.example.com")
    before = await start(replace(config, database=file))
    hashes = await make_world(before)
    limited = hashes.pop("limited")
    token = await token_for(before, hashes["protected"], PASSWORD)
    first = await create(before.alice, "key-1")
    newest = await before.alice.share()
    assert (await before.alice.delete(f"{REPORTS}/{newest['id']}")).status == 200
    # As a crash leaves it: revoked in bulk, and no row is deleted yet.
    monkeypatch.setattr(before.app[REPOSITORIES].links, "delete_revoked", _nothing_deleted)
    revoke = "INSERT INTO revocations SELECT video_id, id, 0 FROM shared_reports"
    fetch(file, f"{revoke} WHERE share_hash = ?", hashes["revoked"])
    links = await links_seen(before, hashes)
    lists = await lists_seen(before.alice)
    assert {status for status, _ in links.values()} == {200, 401, 404, 410}
    await before.client.close()

    rows = await copy_from(config, str(file), ignore)
    assert rows == WORLD | {"shared_reports": len(hashes) + 3}

    after = await start(config)
    after.clock.seconds = before.clock.seconds
    alice = Caller(after.client, before.alice.key, before.alice.user_id)
    assert await lists_seen(alice) == lists
    assert await links_seen(after, hashes) == links
    with_token = await after.public.get(
        f"{REPORTS}/{hashes['protected']}", headers={"X-Share-Token": token}
    )
    assert with_token.status == 200
    assert (await unlock(after, hashes["protected"], PASSWORD)).status == 200
    assert (await unlock(after, hashes["protected"], "wrong")).status == 401
    assert [(await unlock(after, limited)).status for _ in range(2)] == [200, 410]
    assert is_replay_of(await create(alice, "key-1"), first)
    assert (await alice.share())["id"] == str(int(newest["id"]) + 1)


async def test_copy_keeps_events_and_their_positions(
    start: Start, config: Config, file: Path
) -> None:
    before = await start(replace(config, database=file))
    user_id = before.alice.user_id
    await before.app[REPOSITORIES].events.set_enabled(user_id, is_enabled=True)
    await make_world(before)
    await before.app[VIEWS].write()
    events = await before.app[REPOSITORIES].events.list_after(user_id, EventRange(limit=200))
    await before.client.close()
    rows = await copy_from(config, str(file), ignore)
    assert rows["events"] == len(events.events) > rows["event_views"] > 0
    assert rows["event_subscriptions"] == 1

    after = await start(config)
    repository = after.app[REPOSITORIES].events
    assert await repository.list_after(user_id, EventRange(limit=200)) == events
    assert await repository.is_enabled(user_id)
    await Caller(after.client, before.alice.key, user_id).share()
    [created] = (await repository.list_after(user_id, EventRange(after=events.next))).events
    assert (created.type, created.data.label) == ("shared_report.created", None)


async def test_copy_between_postgresql_databases_keeps_everything(
    config: Config, file: Path, fresh_database: FreshDatabase, start: Start
) -> None:
    source = await start(Config(database=file))
    await make_world(source)
    await source.client.close()
    await copy_from(config, str(file), ignore)
    with fresh_database() as target:
        assert isinstance(config.database, PostgresqlUrl)
        rows = await copy_from(Config(database=target), config.database.text, ignore)
        assert rows["shared_reports"] > 10
        assert contents(target) == contents(config.database)
        usage = [fetch(database, _USAGE) for database in (file, config.database, target)]
        assert usage[0] == usage[1] == usage[2] != []
        await start(config)
        with pytest.raises(DatabaseRefusedError, match="is being served: stop all instances"):
            await copy_from(Config(database=target), config.database.text, ignore)


# -- all or nothing -----------------------------------------------------------


def add_keys(database: DatabaseSetting, *names: str) -> None:
    """Store a key for each name."""
    sql = (
        "INSERT INTO api_keys (user_id, name, key_prefix, digest, created_at)"
        " VALUES ('u', ?, 'p', ?, '2025-01-15T10:00:00')"
    )
    execute_many(database, sql, [(name, f"{n:064}") for n, name in enumerate(names)])


def rows_in(database: DatabaseSetting) -> dict[str, int]:
    return {name: fetch(database, f"SELECT count(*) FROM {name}")[0][0] for name in TABLE}


async def test_copy_that_is_interrupted_leaves_nothing(config: Config, file: Path) -> None:
    add_keys(file, *("x" for _ in range(BATCH_ROWS + 1)))
    steps: list[int] = []

    def stop(what: str, done: int, of: int) -> None:
        assert of == 2 * (BATCH_ROWS + 1)
        steps.append(done)
        if what == "Checking":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await copy_from(config, str(file), stop)
    assert steps == [BATCH_ROWS, BATCH_ROWS + 1, 2 * BATCH_ROWS + 1]
    assert not any(rows_in(config.database).values())
    assert (await copy_from(config, str(file), ignore))["api_keys"] == BATCH_ROWS + 1


async def test_copy_whose_connection_is_lost_leaves_nothing(config: Config, file: Path) -> None:
    add_keys(file, "x")

    def cut(_what: str, _done: int, _of: int) -> None:
        ours = "application_name = 'shared-reports copy'"
        fetch(
            config.database,
            f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {ours}",
        )

    with pytest.raises(BackupError, match="Nothing was copied to postgresql://"):
        await copy_from(config, str(file), cut)
    assert not any(rows_in(config.database).values())


async def test_copy_of_a_value_that_postgresql_lacks_names_its_row(
    config: Config, file: Path
) -> None:
    add_keys(file, "x", "a\0b")
    with pytest.raises(BackupError, match=r"a row of api_keys, one from id 1 to 2: .* 0x00"):
        await copy_from(config, str(file), ignore)
    assert not any(rows_in(config.database).values())


async def test_copy_that_was_stored_otherwise_than_it_was_read_fails(
    config: Config, file: Path
) -> None:
    add_keys(file, "x")
    body = "$$ BEGIN NEW.name := 'y'; RETURN NEW; END $$"
    fetch(config.database, f"CREATE FUNCTION alter() RETURNS trigger LANGUAGE plpgsql AS {body}")
    fetch(
        config.database,
        "CREATE TRIGGER alters BEFORE INSERT ON api_keys FOR EACH ROW EXECUTE FUNCTION alter()",
    )
    with pytest.raises(BackupError, match="api_keys was not stored as it was read: 1 rows, SHA"):
        await copy_from(config, str(file), ignore)
    assert not any(rows_in(config.database).values())


def test_copy_keeps_the_source_from_being_served_and_written(config: Config, file: Path) -> None:
    add_keys(file, "x")
    seen: list[str] = []

    def look(_what: str, _done: int, _of: int) -> None:
        with pytest.raises(DatabaseRefusedError, match="busy"), serve_lock(file, "is busy"):
            pass
        with closing(sqlite3.connect(file, timeout=0)) as connection:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                connection.execute("DELETE FROM api_keys")
            seen.extend(connection.execute("SELECT name FROM api_keys").fetchone())

    asyncio.run(copy_from(config, str(file), look))
    assert seen == ["x", "x"]


# -- completeness -------------------------------------------------------------

NOT_COPIED = {
    "videos": {"public_json", "analysis_id"},
    "shared_reports": {
        "inactive_since",
        "request_key",
        "request_digest",
        "granted",
        "counted_hour",
    },
    "event_subscriptions": {"is_on", "webhooks"},
    "webhooks": {"due_at", "lease", "leased_until"},
}
"""Columns that are computed or of a running service, or SQLite's own: parts of analyses, and what a
statement leaves."""
ONLY_SQLITE = {
    *("analyses", "analysis_parts", "cache_generation", "purged_links", "sqlite_sequence"),
    *("console_sessions", "user_usage"),  # a browser signs in again; triggers count anew
}
ONLY_POSTGRESQL = {"console_sessions", "schema_version", "user_usage"}


def test_copy_takes_every_table_and_column(config: Config, file: Path) -> None:
    """A new column that is not copied fails here."""
    sqlite_columns = fetch(
        file,
        "SELECT t.name, c.name FROM sqlite_schema AS t, pragma_table_xinfo(t.name) AS c "
        "WHERE t.type = 'table'",
    )
    postgresql_columns = fetch(
        config.database,
        "SELECT table_name::text, column_name::text FROM information_schema.columns "
        "WHERE table_schema = 'public'",
    )
    for columns, others in (
        (sqlite_columns, ONLY_SQLITE),
        (postgresql_columns, ONLY_POSTGRESQL),
    ):
        assert {table for table, _ in columns} == TABLE.keys() | others
        for name, table in TABLE.items():
            found = {column for owner, column in columns if owner == name}
            assert found - NOT_COPIED.get(name, set()) == set(table.columns)


def test_batches_are_bounded_by_rows_and_by_bytes() -> None:
    rows = [(n, b"") for n in range(BATCH_ROWS + 1)]
    assert [len(batch) for batch in in_batches(TABLE["videos"], rows)] == [BATCH_ROWS, 1]
    large_rows = [(n, bytes(2**19)) for n in range(5)]
    assert [len(batch) for batch in in_batches(TABLE["videos"], large_rows)] == [2, 2, 1]
