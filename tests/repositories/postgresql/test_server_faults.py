"""Faults of the server: 503 in bounded time, named by /readyz, and all is well afterwards."""

import asyncio
import os
import signal
from pathlib import Path

import asyncpg
import pytest
from support import postgresql
from support.postgresql import PostgresServer
from support.server_faults import CHECKS, LINKS, VIDEO, Open, failing_checks, is_unavailable, works

from service.config import Config
from service.domain.errors import DatabaseRefusedError
from service.domain.postgresql_url import PostgresqlUrl
from service.repositories.connect import open_repositories
from service.repositories.postgresql.engine.connector import Connector


async def test_crash_of_the_server_is_over_when_it_is_back(
    server_folder: Path, start_on: Open
) -> None:
    with postgresql.started(server_folder, **postgresql.FAST) as server:
        alice = await start_on(server.url())
        await alice.put_video()
        report = await alice.share()
        server.stop(signal.SIGQUIT)
        for answer in (
            await alice.get(f"{LINKS}/{report['share_hash']}"),
            await alice.post(LINKS, VIDEO),
            await alice.get("/api/videos"),
            await alice.delete(f"{LINKS}/{report['id']}"),
        ):
            assert is_unavailable(answer)
        assert await failing_checks(alice) == CHECKS
    with postgresql.started(server_folder, **postgresql.FAST):
        assert await works(alice)
        assert not await failing_checks(alice)


async def test_connections_that_were_ended_open_again(
    server: PostgresServer, start_on: Open
) -> None:
    alice = await start_on(server.url())
    await alice.put_video()
    server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE 'shared-reports %'"
    )
    assert await works(alice)
    assert (await alice.get("/api/videos")).status == 200


async def test_server_that_may_only_be_read_takes_no_write(
    server: PostgresServer, start_on: Open
) -> None:
    alice = await start_on(server.url())
    await alice.put_video()
    server.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    server.execute("SELECT pg_reload_conf()")
    while (await alice.post(LINKS, VIDEO)).status == 201:  # the server reads it a moment later
        await asyncio.sleep(0.01)
    assert is_unavailable(await alice.post(LINKS, VIDEO))
    failing = await failing_checks(alice)
    assert "database_write" in failing
    body = (await alice.get("/readyz")).json["checks"]["database_write"]
    assert body == "No server of the database takes writes."
    (server.folder / "data/postgresql.auto.conf").write_text("")
    server.execute("SELECT pg_reload_conf()")
    while not await works(alice):
        await asyncio.sleep(0.01)
    assert not await failing_checks(alice)


async def test_statement_that_takes_too_long_is_ended(
    server: PostgresServer, start_on: Open
) -> None:
    alice = await start_on(server.url(), statement_timeout=0.3)
    await alice.put_video()
    report = await alice.share()
    blocker = await asyncpg.connect(server.url().text)
    try:
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE shared_reports IN ACCESS EXCLUSIVE MODE")
            assert is_unavailable(await alice.get(f"{LINKS}/{report['share_hash']}"))
            assert is_unavailable(await alice.post(LINKS, VIDEO))
            assert not await failing_checks(alice)
    finally:
        await blocker.close()
    assert await works(alice)


async def test_server_that_hangs_is_given_up_in_time(
    server: PostgresServer, start_on: Open
) -> None:
    alice = await start_on(server.url(), statement_timeout=0.2, connect_timeout=0.2)
    await alice.put_video()
    report = await alice.share()
    backends = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'shared-reports %'"
    pids = [pid for (pid,) in postgresql.fetch(server.url().text, backends)]
    processes = [server.process.pid, *pids]
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert is_unavailable(await alice.get(f"{LINKS}/{report['share_hash']}"))
        assert is_unavailable(await alice.post(LINKS, VIDEO))
        checks = (await alice.get("/readyz")).json["checks"]
        assert checks["database_read"] == "no connection within 0.2 s"
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
    while not await works(alice):
        await asyncio.sleep(0.01)
    assert not await failing_checks(alice)


async def test_missing_connection_of_one_kind_leaves_the_others_alone(
    server: PostgresServer, start_on: Open
) -> None:
    """The server gives no connection for lists: look-ups and small writes go on."""
    server.execute("CREATE ROLE limited LOGIN SUPERUSER")
    address = server.url().text.replace("postgres@", "limited@")
    alice = await start_on(PostgresqlUrl(address))
    await alice.put_video()
    assert await works(alice)
    server.execute("ALTER ROLE limited NOSUPERUSER CONNECTION LIMIT 2")
    server.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name = 'shared-reports long'"
    )
    assert is_unavailable(await alice.get("/api/videos"))
    assert await works(alice)
    server.execute("ALTER ROLE limited CONNECTION LIMIT -1")
    assert (await alice.get("/api/videos")).status == 200


async def test_start_without_a_server_is_refused_in_one_line_without_password() -> None:
    url = PostgresqlUrl("postgresql://alice:hunter2@127.0.0.1:1/reports")
    with pytest.raises(DatabaseRefusedError) as refused:
        async with open_repositories(Config(database=url), lambda: "", serves=True):
            pass
    text = str(refused.value)
    assert text.startswith("postgresql://alice:***@127.0.0.1:1/reports: no connection: ")
    assert "\n" not in text


@pytest.mark.parametrize(("cache_size", "limit", "count"), [(100, "5s", 1), (0, "0", 0)])
async def test_pooler_in_transaction_mode_is_asked_for_no_session(
    server: PostgresServer, cache_size: int, limit: str, count: int
) -> None:
    connection = await Connector(server.url(), 5, 5, cache_size).connect()
    assert await connection.fetchval("SHOW statement_timeout") == limit
    kept = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE $1"
    assert await connection.fetchval(kept, "SELECT count(*) FROM pg_prep%") == count
    await connection.close()
