"""A loss of power at any moment takes nothing that was acknowledged.

strace writes down what the process tells the kernel: every write, every sync, every answer. From
that the disk is built again as a loss of power may have left it: what was synced is there; of the
rest, none, or any part. At each answer, and at moments between, the service opens such a disk and
must find all that it had acknowledged.
"""

import asyncio
import json
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from random import Random

import aiohttp
import pytest
from support.disk import NAMING, SYNCS, WRITING, Disk, Step, steps
from support.harness import export, segment
from support.process import PATIENCE, await_true, run, serving

from service.repositories.sqlite.engine.database import CHECKPOINT_PAGES
from service.repositories.sqlite.engine.migrate import migrate

STRACE = [
    *("strace", "-D", "-f", "--seccomp-bpf"),  # -D: the process is ours still, not strace's
    *("-y", "-xx", "-s", "65536"),
]
SENDING = ("write", "writev", "sendto", "sendmsg")
CALLS = {*NAMING, *WRITING, *SYNCS, *SENDING}
CALLERS = 8
LINKS = 5
"""For each caller; every other one is revoked."""
PAGES = CHECKPOINT_PAGES + 100
"""Of a video that makes SQLite checkpoint."""


def trouble() -> str:
    """Why nothing can be traced on this machine; empty where it can."""
    if shutil.which("strace") is None:
        return "there is no strace on this machine"
    tried = subprocess.run(
        ["strace", "-o", os.devnull, "true"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return f"strace can't trace here: {tried.stderr}" if tried.returncode else ""


if why := trouble():
    if os.environ.get("CI"):
        pytest.fail(f"in CI, {why}", pytrace=False)
    pytest.skip(why, allow_module_level=True)


@dataclass
class Work:
    """What was asked of the service, by the request's id."""

    hashes: dict[str, str] = field(default_factory=dict)
    """The share hash that a request created or revoked."""
    versions: dict[str, str] = field(default_factory=dict)
    """The name that a request gave a video."""


async def work(url: str, key: str) -> Work:
    """Create links, and revoke every other one, with a checkpoint between."""
    done = Work()
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(
        url, headers={"Authorization": key}, timeout=timeout
    ) as session:

        async def call(name: str, method: str, path: str, body: object = None) -> dict[str, str]:
            data = None if body is None else BytesIO(json.dumps(body).encode())
            async with session.request(
                method, path, data=data, headers={"X-Request-ID": name}
            ) as response:
                assert response.status < 300, await response.text()
                answer: dict[str, str] = await response.json()
                return answer

        async def put(name: str, **fields: object) -> None:
            done.versions[name] = name
            await call(name, "PUT", "/api/videos/job", export(video_name=name, **fields))

        async def caller(part: str) -> None:
            for n in range(LINKS):
                name = f"create-{part}-{n}"
                link = await call(name, "POST", "/api/shared-reports", {"video_id": "job"})
                done.hashes[name] = link["share_hash"]
                if n % 2:
                    name = f"revoke-{part}-{n}"
                    done.hashes[name] = link["share_hash"]
                    await call(name, "DELETE", f"/api/shared-reports/{link['id']}")

        await put("put-1")
        await asyncio.gather(*(caller(f"before-{n}") for n in range(CALLERS)))
        await put("put-2", segments=[segment(0, 1, content="x" * 4096) for _ in range(PAGES)])
        await asyncio.gather(*(caller(f"after-{n}") for n in range(CALLERS)))
    return done


def check(files: dict[str, bytes], acknowledged: list[str], done: Work) -> None:
    """Fail where the service does not find in these files all that it has acknowledged."""
    with tempfile.TemporaryDirectory() as folder:
        for path, content in files.items():
            Path(folder, Path(path).name).write_bytes(content)
        database = Path(folder, "test.sqlite3")
        migrate(database)
        with closing(sqlite3.connect(database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            hashes = {row[0] for row in connection.execute("SELECT share_hash FROM shared_reports")}
            names = [row[0] for row in connection.execute("SELECT name FROM videos")]
            [[keys]] = connection.execute("SELECT count(*) FROM api_keys")
    revoked = {done.hashes[each] for each in acknowledged if each.startswith("revoke")}
    assert not revoked & hashes, "an acknowledged revoke is undone"
    # One whose revoke was never acknowledged may be there or not.
    ending = {done.hashes[each] for each in done.hashes if each.startswith("revoke")}
    created = {done.hashes[each] for each in acknowledged if each.startswith("create")}
    assert created - ending <= hashes, "an acknowledged create is lost"
    assert keys == 1 or not acknowledged, "a key that was shown is lost"
    puts = [done.versions[each] for each in acknowledged if each.startswith("put")]
    if puts:
        assert len(names) == 1
        assert names[0] >= puts[-1], "an acknowledged replacement is lost"


def answered(step: Step) -> str | None:
    """The id of the request that a step begins to answer."""
    if step.is_end or step.name not in SENDING:
        return None
    match = re.match(rb"HTTP/1\.1 20\d .*?X-Request-ID: (\S+)", step.data, re.DOTALL)
    return match[1].decode() if match else None


def tail(trace: Path) -> str:
    with trace.open("rb") as file:
        file.seek(-100, os.SEEK_END)
        return file.read().decode()


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Work]:
    """A trace from the creation of a database to a clean end, the database, and what was done."""
    folder = tmp_path_factory.mktemp("power")
    trace = folder / "trace"
    under = [*STRACE, "-e", f"trace={','.join(CALLS)}", "-A", "-o", str(trace)]
    new_key = run(
        *("keys", "create", "--user", f"{1:032}", "--name", "x"), folder=folder, under=under
    )
    assert new_key.returncode == 0, new_key.stderr
    with serving(folder, under=under) as server:
        done = asyncio.run(work(server.url, new_key.stdout.strip()))
        assert server.stop()[0] == 0
    # strace fills a short number up with spaces.
    last = re.compile(rf"^{server.process.pid} +\+\+\+ exited with 0 \+\+\+\n\Z", re.MULTILINE)
    await_true(lambda: last.search(tail(trace)), "strace has ended")
    return trace, folder / "test.sqlite3", done


def lose_power(trace: Iterable[Step], database: Path, done: Work) -> tuple[Disk, list[str], int]:
    """Check the disk at each answer, and at moments between that are drawn: most at its creation.

    Returns the disk at the end, the answers in their order, and how many moments were drawn.
    """
    disk, random = Disk(database), Random(1)
    acknowledged: list[str] = []
    between = 0
    for step in trace:
        if name := answered(step):
            acknowledged.append(name)
            check(disk.at_its_worst(), acknowledged, done)
            check(disk.by_chance(random), acknowledged, done)
        elif disk.take(step) and random.random() < (0.02 if acknowledged else 0.3):
            between += 1
            check(disk.by_chance(random), acknowledged, done)
    return disk, acknowledged, between


@pytest.mark.timeout(240)  # hundreds of times a disk is built again and looked at
def test_acknowledged_writes_are_synced(traced: tuple[Path, Path, Work]) -> None:
    trace, database, done = traced
    disk, acknowledged, between = lose_power(steps(trace), database, done)
    print(f"{len(acknowledged)} answers, {between} moments between")
    assert set(acknowledged) == {*done.hashes, *done.versions}
    # The trace has shown everything: the folder is what it says.
    assert {path: bytes(file.seen) for path, file in disk.seen.items()} == {
        str(database): database.read_bytes()
    }


@pytest.mark.parametrize("ending", ["", "-wal", "folder"])
def test_sync_left_out_loses_acknowledged_writes(
    traced: tuple[Path, Path, Work], ending: str
) -> None:
    """Without those of one file, or of the folder, something acknowledged would be lost."""
    trace, database, done = traced
    unsynced = str(database.parent) if ending == "folder" else f"{database}{ending}"
    kept = (step for step in steps(trace) if not (step.name in SYNCS and step.path == unsynced))
    with pytest.raises((AssertionError, sqlite3.Error)):
        lose_power(kept, database, done)
