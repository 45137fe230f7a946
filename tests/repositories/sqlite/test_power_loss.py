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
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from random import Random

import aiohttp
import pytest
from support.harness import export, segment
from support.process import PATIENCE, await_true, run, serving

from service.repositories.sqlite.engine.database import CHECKPOINT_PAGES
from service.repositories.sqlite.engine.migrate import migrate

STRACE = [
    *("strace", "-D", "-f", "--seccomp-bpf"),  # -D: the process is ours still, not strace's
    *("-y", "-xx", "-s", "65536"),
]
NAMING = ("openat", "unlink", "unlinkat", "rename", "renameat", "renameat2")
WRITING = ("ftruncate", "pwrite64", "pwritev", "write", "writev")
SYNCS = ("fsync", "fdatasync")
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


@dataclass(frozen=True)
class Step:
    """A system call's begin or end."""

    name: str
    arguments: str
    """As strace writes them; those of an end have what came back behind them."""
    is_end: bool

    @property
    def path(self) -> str:
        """The file that a call on an open file is about."""
        match = re.match(r"\d+<([^>]*)>", self.arguments)
        return _bytes(match[1]).decode() if match else ""

    @property
    def data(self) -> bytes:
        """What it writes, or the name that it is given."""
        return b"".join(map(_bytes, re.findall(r'"([^"]*)"', self.arguments)))

    @property
    def result(self) -> int:
        return int(self.arguments.rpartition(" = ")[2].split("<")[0].split()[0])


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def steps(trace: Path) -> Iterator[Step]:
    """All calls of a trace, in the order in which they began and ended."""
    under_way: dict[str, str] = {}
    with trace.open() as lines:
        for line in lines:
            thread, _, text = line.strip().partition(" ")
            text = text.lstrip()
            if text.startswith(("+++", "---")):
                continue
            if text.startswith("<..."):
                text = under_way.pop(thread) + text.partition("resumed>")[2]
                ends = [True]
            elif text.endswith("<unfinished ...>"):
                text = under_way[thread] = text.removesuffix("<unfinished ...>")
                ends = [False]
            else:
                ends = [False, True]
            name, _, arguments = text.partition("(")
            for is_end in ends:
                yield Step(name, arguments, is_end)


@dataclass(eq=False)
class File:
    """A file as its writer sees it, as it surely is on the disk, and what lies between."""

    seen: bytearray = field(default_factory=bytearray)
    synced: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Writes by offset; None cuts the file off there."""

    def do(self, change: tuple[int, bytes | None]) -> None:
        self.pending.append(change)
        _apply(self.seen, change)

    def sync(self, count: int) -> None:
        for change in self.pending[:count]:
            _apply(self.synced, change)
        del self.pending[:count]


def _apply(content: bytearray, change: tuple[int, bytes | None]) -> None:
    offset, data = change
    if data is None:
        del content[offset:]
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data or b"")] = data or b""


class Disk:
    """The folder of the database, as the calls of the process leave it.

    A file's name is in a folder as little for sure as a write is in a file: until a sync.
    """

    def __init__(self, database: Path) -> None:
        self.folder = str(database.parent)
        self.names = [f"{database}{ending}" for ending in ("", "-wal", "-journal")]
        self.seen: dict[str, File] = {}
        self.synced: dict[str, File] = {}
        self._syncing_names: dict[str, File] = {}
        self._syncing: dict[str, int] = {}

    def take(self, step: Step) -> bool:
        """Take a step; returns whether it was one of this folder's."""
        if step.path in self.names:
            self._take_in_file(self.seen[step.path], step)
            return True
        if step.path == self.folder:
            self._take_in_folder(step)
            return True
        if step.name in NAMING and step.data.decode() in self.names:
            self._take_name(step, step.data.decode())
            return True
        # Two names stand in a rename, and we know none.
        assert not step.name.startswith("rename") or self.folder.encode() not in step.data, step
        return False

    def _take_name(self, step: Step, path: str) -> None:
        if not step.is_end or step.result < 0:
            return
        if step.name == "openat":
            if "O_CREAT" in step.arguments:
                self.seen.setdefault(path, File())
        else:
            assert step.name == "unlink", step
            del self.seen[path]

    def _take_in_folder(self, step: Step) -> None:
        assert step.name in SYNCS, step
        if step.is_end:
            assert step.result == 0
            self.synced = self._syncing_names
        else:
            self._syncing_names = dict(self.seen)

    def _take_in_file(self, file: File, step: Step) -> None:
        if step.name in SYNCS:
            if step.is_end:
                assert step.result == 0
                file.sync(self._syncing.pop(step.path))
            else:
                assert step.path not in self._syncing
                self._syncing[step.path] = len(file.pending)
        elif step.is_end:
            offset = int(re.findall(r", (\d+) *\) +=", step.arguments)[-1])
            if step.name == "pwrite64":
                assert step.result == len(step.data)
                file.do((offset, step.data))
            else:
                assert step.name == "ftruncate", step
                file.do((offset, None))

    def at_its_worst(self) -> dict[str, bytes]:
        """What is there for sure."""
        return {path: bytes(file.synced) for path, file in self.synced.items()}

    def by_chance(self, random: Random) -> dict[str, bytes]:
        """What is there for sure, and whatever else happened to get there."""
        left = {}
        for path in self.names:
            file = random.choice([self.seen, self.synced]).get(path)
            if file is not None:
                content = bytearray(file.synced)
                for change in file.pending:
                    if random.random() < 0.5:
                        _apply(content, change)
                left[path] = bytes(content)
        return left


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
