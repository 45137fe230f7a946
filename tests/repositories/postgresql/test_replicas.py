"""A read replica: with ``remote_apply`` it shows no link that the primary has ended."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import NamedTuple

import pytest
from support import postgresql
from support.harness import (
    Caller,
    Client,
    FakeClock,
    Response,
    app_of,
    make_client,
    new_caller,
)
from support.postgresql import PostgresServer

from service.config import Config
from service.domain.postgresql_url import PostgresqlUrl

LINKS = "/api/shared-reports"
TRIES = 300
HAS_REPLICA = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
WAITING = """
    SELECT pid FROM pg_stat_activity
     WHERE wait_event = 'SyncRep' AND query LIKE ANY($1::text[]) AND pid <> $2"""


class Pair(NamedTuple):
    """Two servers, and an instance of the service at each."""

    primary: PostgresServer
    replica: PostgresServer
    alice: Caller
    """At the instance that writes to the primary."""
    public: Caller
    """At the instance that reads the replica."""

    async def status(self, share_hash: str) -> int:
        return (await self.public.get(f"{LINKS}/{share_hash}")).status


@pytest.fixture
def servers() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """A primary with ``synchronous_commit = remote_apply``, and its one synchronous replica."""
    with (
        postgresql.running_server(**postgresql.FAST) as primary,
        postgresql.replica_of(primary, "replica") as replica,
    ):
        set_commit(primary, "remote_apply")
        primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (replica)'")
        primary.execute("SELECT pg_reload_conf()")
        yield primary, replica


def set_commit(primary: PostgresServer, value: str) -> None:
    """Set what a commit waits for, for the connections that are opened from now on."""
    primary.execute(f"ALTER DATABASE postgres SET synchronous_commit = {value}")


@pytest.fixture
async def start_pair(
    servers: tuple[PostgresServer, PostgresServer],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Callable[[], Awaitable[Pair]]]:
    # A background write would wait for the replica, too, and hold up what a test waits for.
    monkeypatch.setattr("service.app._KEY_USE_INTERVAL", 3600.0)

    async def start_at(url: PostgresqlUrl) -> Client:
        config = Config(database=url, lookup_rate_limit=None, create_rate_limit=None)
        return await stack.enter_async_context(make_client(config, FakeClock()))

    async def start() -> Pair:
        primary, replica = servers
        while postgresql.fetch(primary.url().text, HAS_REPLICA) != [(1,)]:
            await asyncio.sleep(0.01)
        writes = await start_at(primary.url())
        alice = await new_caller(app_of(writes), writes)
        await alice.put_video()
        any_server = f"{replica.url().text}&target_session_attrs=any"
        reads = await start_at(PostgresqlUrl(any_server))
        return Pair(primary, replica, alice, Caller(reads))

    async with AsyncExitStack() as stack:
        yield start


async def test_replica_never_shows_a_link_whose_revocation_is_acknowledged(
    start_pair: Callable[[], Awaitable[Pair]],
) -> None:
    pair = await start_pair()
    seen = []
    for _ in range(TRIES):
        report = await pair.alice.share()
        before = await pair.status(report["share_hash"])
        revoked = await pair.alice.delete(f"{LINKS}/{report['id']}")
        seen.append((before, revoked.status, await pair.status(report["share_hash"])))
    assert set(seen) == {(200, 200, 404)}


async def test_revocation_waits_for_a_replica_that_lags(
    start_pair: Callable[[], Awaitable[Pair]],
) -> None:
    pair = await start_pair()
    report = await pair.alice.share()
    pair.replica.execute("SELECT pg_wal_replay_pause()")
    revoking = asyncio.create_task(pair.alice.delete(f"{LINKS}/{report['id']}"))
    assert await waiting(pair, revoking, "revoke links")
    assert await pair.status(report["share_hash"]) == 200
    assert not revoking.done()
    pair.replica.execute("SELECT pg_wal_replay_resume()")
    assert (await revoking).status == 200
    assert await pair.status(report["share_hash"]) == 404


WRITES = {
    "create links": ("POST", LINKS),
    "revoke links": ("DELETE", LINKS + "/{}"),
    "rotate a link": ("POST", LINKS + "/{}/rotate"),
    "revoke a video's links": ("DELETE", "/api/videos/job-1/shared-reports"),
    "delete a video": ("DELETE", "/api/videos/job-1"),
}


@pytest.mark.parametrize("statement", WRITES)
async def test_write_whose_answer_is_lost_waits_for_the_replica(
    start_pair: Callable[[], Awaitable[Pair]], statement: str
) -> None:
    """What it finds done when it tries again may not be at the replica yet."""
    pair = await start_pair()
    report = await pair.alice.share()
    method, path = WRITES[statement]
    body = {"video_id": "job-1"} if path == LINKS else None
    pair.replica.execute("SELECT pg_wal_replay_pause()")
    call = asyncio.create_task(pair.alice.call(method, path.format(report["id"]), body))
    process = await waiting(pair, call, statement)
    pair.primary.execute("SELECT pg_terminate_backend($1)", process)
    assert await waiting(pair, call, statement, "confirm", but_not=process)
    assert not call.done()
    pair.replica.execute("SELECT pg_wal_replay_resume()")
    assert (await call).status in {200, 201}


async def waiting(
    pair: Pair, call: "asyncio.Task[Response]", *statements: str, but_not: int = 0
) -> int:
    """Return the process of the server in which one of the statements waits for the replica.

    Returns 0 if the call is over first.
    """
    names = [f"-- {name}\n%" for name in statements]
    while not call.done():
        rows = postgresql.fetch(pair.primary.url().text, WAITING, names, but_not)
        if rows:
            return int(rows[0][0])
        await asyncio.sleep(0.01)
    return 0


async def test_replica_shows_a_dead_link_if_commits_do_not_wait_for_it(
    servers: tuple[PostgresServer, PostgresServer],
    start_pair: Callable[[], Awaitable[Pair]],
) -> None:
    """The counter-example: ``on`` waits until the replica has stored a commit, not shown it."""
    set_commit(servers[0], "on")
    pair = await start_pair()
    report = await pair.alice.share()
    while await pair.status(report["share_hash"]) != 200:
        await asyncio.sleep(0.01)
    pair.replica.execute("SELECT pg_wal_replay_pause()")
    assert (await pair.alice.delete(f"{LINKS}/{report['id']}")).status == 200
    assert await pair.status(report["share_hash"]) == 200
    pair.replica.execute("SELECT pg_wal_replay_resume()")
