"""Two servers, of which one follows the other: a failover, and a standby alone."""

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from support import postgresql
from support.postgresql import PostgresServer
from support.server_faults import CHECKS, LINKS, VIDEO, Open, failing_checks, is_unavailable, works

from service.config import Config
from service.domain.errors import DatabaseRefusedError
from service.domain.postgresql_url import PostgresqlUrl
from service.repositories.connect import open_repositories

pytestmark = pytest.mark.slow

PIDS = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"


@pytest.fixture
def standby(server: PostgresServer) -> Iterator[PostgresServer]:
    """A standby that has everything that the server acknowledges."""
    folder = postgresql.make_folder()
    try:
        postgresql.copy(server, folder)
        with postgresql.started(folder, **postgresql.FAST) as standby:
            server.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            server.execute("SELECT pg_reload_conf()")
            yield standby
    finally:
        shutil.rmtree(folder)


def both(*servers: PostgresServer) -> PostgresqlUrl:
    """An address with several hosts."""
    hosts = quote(",".join(str(server.folder) for server in servers))
    return PostgresqlUrl(f"postgresql://postgres@/postgres?host={hosts}")


def processes(server: PostgresServer) -> list[int]:
    pids = postgresql.fetch(server.url().text, PIDS)
    return [server.process.pid, *(pid for (pid,) in pids)]


@pytest.mark.parametrize("way", ["killed", "silent"])
async def test_failover_to_a_promoted_standby_needs_no_restart(
    server: PostgresServer, standby: PostgresServer, start_on: Open, way: str
) -> None:
    """A machine that was lost is silent: its connections and its port answer nothing."""
    alice = await start_on(both(server, standby), statement_timeout=0.5, connect_timeout=0.5)
    await alice.put_video()
    living, dead = await alice.share(), await alice.share()
    assert (await alice.delete(f"{LINKS}/{dead['id']}")).status == 200
    stopped = processes(server) if way == "silent" else []
    if way == "killed":
        server.stop(signal.SIGQUIT)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert is_unavailable(await alice.get(f"{LINKS}/{living['share_hash']}"))
        assert is_unavailable(await alice.post(LINKS, VIDEO))
        assert await failing_checks(alice) == CHECKS
        standby.execute("SELECT pg_promote()")
        while not await works(alice):
            await asyncio.sleep(0.01)
        while await failing_checks(alice):  # each connection has to find out by itself
            await asyncio.sleep(0.01)
        assert (await alice.get(f"{LINKS}/{living['share_hash']}")).status == 200
        assert (await alice.get(f"{LINKS}/{dead['share_hash']}")).status == 404
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


async def test_standby_is_not_used_while_the_primary_takes_writes(
    server: PostgresServer, standby: PostgresServer, start_on: Open
) -> None:
    alice = await start_on(both(standby, server))
    await alice.put_video()
    assert await works(alice)
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'shared-reports %'"
    assert postgresql.fetch(standby.url().text, ours) == [(0,)]


async def test_standby_alone_is_refused_at_the_start_in_one_line(standby: PostgresServer) -> None:
    config = Config(database=standby.url())
    with pytest.raises(DatabaseRefusedError) as refused:
        async with open_repositories(config, lambda: "", serves=True):
            pass
    assert str(refused.value).endswith("no connection: No server of the database takes writes.")
