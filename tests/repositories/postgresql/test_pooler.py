"""PgBouncer in transaction mode: each transaction may get another connection of the server."""

import asyncio
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import postgresql
from support.database import fetch
from support.harness import export, segment
from support.postgresql import PostgresServer
from support.server_faults import LINKS, VIDEO, Open, failing_checks, is_unavailable, works

from service.domain.postgresql_url import PostgresqlUrl

PROGRAM = shutil.which("pgbouncer")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed"),
]

SERVER_CONNECTIONS = 2
CALLS = 40


class Pooler:
    """A running PgBouncer; it listens on a Unix socket in a folder of its own."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self.folder = folder
        self.url = PostgresqlUrl(f"postgresql://postgres@/postgres?host={folder}")
        (folder / "pgbouncer.ini").write_text(
            "[databases]\n"
            f"postgres = host={server.folder} user=postgres\n"
            "[pgbouncer]\n"
            f"unix_socket_dir = {folder}\n"
            "listen_port = 5432\n"
            "auth_type = any\n"
            "pool_mode = transaction\n"
            f"default_pool_size = {SERVER_CONNECTIONS}\n"
        )
        self.start()

    def start(self) -> None:
        assert PROGRAM is not None
        self.process = subprocess.Popen(
            [PROGRAM, "-q", str(self.folder / "pgbouncer.ini")],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **postgresql.other_user(),
        )
        deadline = time.monotonic() + postgresql.PATIENCE
        while not (self.folder / ".s.PGSQL.5432").exists():
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(how)
        self.process.wait(postgresql.PATIENCE)
        (self.folder / ".s.PGSQL.5432").unlink(missing_ok=True)


@pytest.fixture
def pooler(server: PostgresServer) -> Iterator[Pooler]:
    folder = postgresql.make_folder()
    pooler = Pooler(server, folder)
    yield pooler
    pooler.stop()
    shutil.rmtree(folder)


async def test_pooler_in_transaction_mode_serves_two_instances(
    server: PostgresServer, pooler: Pooler, start_on: Open
) -> None:
    """Ten connections of two instances share two of the server, in all kinds of calls."""
    alices = [await start_on(pooler.url, statement_cache_size=0) for _ in range(2)]
    for alice in alices:
        await alice.put_video()
    large = export(segments=[segment(n, n + 1, content="x" * 1000) for n in range(100)])

    async def calls(number: int) -> list[int]:
        alice = alices[number % 2]
        created = await alice.post(LINKS, VIDEO | {"max_views": 1})
        path = f"{LINKS}/{created.json['share_hash']}"
        once = await alice.post(LINKS, VIDEO, headers={"Idempotency-Key": f"{number}"})
        answers = [
            created,
            once,
            await alice.post(f"{path}/unlock", {}),
            await alice.get(f"{LINKS}/{once.json['share_hash']}"),
            await alice.put(f"/api/videos/video-{number}", large),
            await alice.get("/api/videos"),
            await alice.post(f"{LINKS}/{once.json['id']}/rotate"),
            await alice.delete(f"{LINKS}/{once.json['id']}"),
            await alice.get(f"{LINKS}/{once.json['share_hash']}"),
        ]
        return [answer.status for answer in answers]

    outcomes = await asyncio.gather(*(calls(number) for number in range(CALLS)))
    assert {tuple(each) for each in outcomes} == {(201, 201, 200, 200, 201, 200, 200, 200, 404)}
    backends = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'shared-reports%'"
    [(count,)] = fetch(server.url(), backends)
    assert 1 <= count <= SERVER_CONNECTIONS
    for alice in alices:
        assert not await failing_checks(alice)


async def test_pooler_that_was_killed_is_used_again(pooler: Pooler, start_on: Open) -> None:
    alice = await start_on(pooler.url, statement_cache_size=0)
    await alice.put_video()
    pooler.stop()
    assert is_unavailable(await alice.post(LINKS, VIDEO))
    pooler.start()
    assert await works(alice)
    assert not await failing_checks(alice)
