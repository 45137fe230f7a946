"""Many callers, and a service that is killed again and again.

``python tests/crash/storm.py 300`` serves a database and kills the process 300 times with SIGKILL,
in the middle of its work, while callers create, view, list and revoke links, let them expire, and
replace videos. Before most kills an operator runs commands beside it, moves its file away and
back, or deletes and restores it. It records every call, and asks ``history`` in the end whether a
promise was broken. A second argument is the seed of all that is drawn; the order of what happens at
once is nobody's to repeat.
"""

import asyncio
import json
import shutil
import sqlite3
import sys
import tempfile
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from math import inf
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
from aiohttp import ClientConnectorError, ClientError, ClientHandlerType, ClientRequest

sys.path.insert(0, str(Path(__file__).parent.parent))

from history import Call, Create, History, Link, Listing, Put, Revoke, View, broken
from operations import Operator
from support.process import COMMAND, environment, run

CALLERS = 24
JOBS = 8
KILLS_A_GENERATION = 25
"""After so many kills, callers turn to new videos: lists stay short."""
RECENT = 200
LIFE = 0.6
"""Seconds; a life is half as long on the average, from its first acknowledged write on."""
START = 0.5
"""Seconds in which a process that is killed at its start is killed."""
PATIENCE = 30.0


class LostError(Exception):
    """The connection died after the request had, perhaps, been sent."""


async def once(request: ClientRequest, send: ClientHandlerType) -> aiohttp.ClientResponse:
    """Send a request once: aiohttp would send one that it takes for idempotent a second time."""
    try:
        return await send(request)
    except ClientConnectorError:
        raise  # nothing was sent
    except ClientError as error:
        raise LostError from error


def to_seconds(moment: str | None) -> float:
    """A moment's text as seconds since the epoch."""
    return inf if moment is None else datetime.fromisoformat(f"{moment}Z").timestamp()


@dataclass(frozen=True)
class Outcome:
    """What has been seen in a storm."""

    calls: list[Call]
    kills: list[float]
    """When, on the clock of ``Call.began``."""
    broken: list[str]
    done: Counter[str]
    """What the operator did, by name."""


class Storm:
    """Callers and what they know together; ``calls`` grows with each call that was sent."""

    def __init__(self, session: aiohttp.ClientSession, key: str, random: Random) -> None:
        self.session = session
        self.key = key
        self.random = random
        self.calls: list[Call] = []
        self.jobs: dict[str, str] = {}
        """The videos that are known to be there: job ids by id."""
        self.current: list[str] = []
        """The job ids that are written to now."""
        self.recent: deque[Link] = deque(maxlen=RECENT)
        self.acknowledged = asyncio.Event()
        """Set by each write that is acknowledged."""
        self.over = False
        self.is_disturbed = False
        """Whether the files are not at their place: calls may be refused with 503."""
        self._versions = count(1)

    def begin_generation(self, number: int) -> None:
        self.current = [f"job-{number}-{n}" for n in range(JOBS)]
        self.recent.clear()

    async def caller(self) -> None:
        """Do one thing after another until the storm is over."""
        while not self.over:
            try:
                await self._anything()
            except ClientConnectorError:
                await asyncio.sleep(0.005)  # nobody listens; nothing was sent

    async def _anything(self) -> None:
        ready = [job_id for job_id in self.jobs.values() if job_id in self.current]
        what = self.random.random()
        if len(ready) < JOBS or what < 0.12:
            await self.put(self.random.choice(self.current))
        elif what < 0.5 or not self.recent:
            await self.create(self.random.choice(ready), self.random.choice([None, 1, 2, 3]))
        elif what < 0.75:
            await self.view(self.random.choice(self.recent))
        elif what < 0.85:
            await self.view(min(self.recent, key=self._until_expiry))
        elif what < 0.98:
            # The newest one's id is the one that could most easily be given again.
            link = self.random.choice([self.random.choice(self.recent), self.recent[-1]])
            await self.revoke(link)
            await self.view(link)
        else:
            await self.list_links(self.random.choice(ready))

    def _until_expiry(self, link: Link) -> float:
        left = link.expires_at - time.time()
        return left if left > -0.1 else inf

    async def put(self, job_id: str) -> None:
        version = f"version {next(self._versions)}"
        segments = [
            {"module": version, "content": version, "start_time": n, "end_time": n}
            for n in range(self.random.choices([1, 30, 300, 3000], [30, 30, 10, 4])[0])
        ]
        body = {"video_name": version, "segments": segments}
        times, status, answer = await self._send("PUT", f"/api/videos/{job_id}", body)
        video_id = None if answer is None else answer["id"]
        if video_id is not None:
            self.jobs[video_id] = job_id
            self.acknowledged.set()
        self.calls.append(
            Put(**times, status=status, job_id=job_id, version=version, video_id=video_id)
        )

    async def create(self, job_id: str, lifetime: int | None) -> None:
        moment = None
        if lifetime is not None:
            end = datetime.fromtimestamp(int(time.time()) + lifetime, UTC)
            moment = end.strftime("%Y-%m-%dT%H:%M:%S")
        body = {"video_id": job_id, "expires_at": moment}
        times, status, answer = await self._send("POST", "/api/shared-reports", body)
        link = self._link(answer) if status == 201 else None
        if link is not None:
            self.recent.append(link)
            self.acknowledged.set()
        expires_at = to_seconds(moment)
        self.calls.append(
            Create(**times, status=status, job_id=job_id, expires_at=expires_at, link=link)
        )

    async def view(self, link: Link) -> None:
        path = f"/api/shared-reports/{link.share_hash}"
        version = None
        if self.random.random() < 0.7:
            times, status, answer = await self._send("GET", path)
            if status == 200:
                video = answer["video"]
                version = " + ".join({video["name"], *video["modules"]})
        else:
            times, status, answer = await self._send("GET", f"{path}/segments")
            if status == 200:
                version = " + ".join({each["content"] for each in answer})
        self.calls.append(View(**times, status=status, share_hash=link.share_hash, version=version))

    async def revoke(self, link: Link) -> None:
        times, status, _ = await self._send("DELETE", f"/api/shared-reports/{link.id}")
        if status == 200:
            self.acknowledged.set()
        self.calls.append(Revoke(**times, status=status, link_id=link.id))

    async def list_links(self, job_id: str) -> tuple[Link, ...]:
        times, status, answer = await self._send("GET", f"/api/videos/{job_id}/shared-reports")
        links = (
            tuple((self._link(each), each["is_active"] == 1) for each in answer)
            if status == 200
            else ()
        )
        self.calls.append(Listing(**times, status=status, job_id=job_id, links=links))
        return tuple(link for link, _ in links)

    async def look_at_everything(self) -> None:
        """List all videos' links, and view all links that anyone has ever heard of."""
        links = {call.link for call in self.calls if isinstance(call, Create) and call.link}
        for job_id in self.jobs.values():
            links |= {*await self.list_links(job_id)}
        left = iter(links)

        async def view_some() -> None:
            for link in left:
                await self.view(link)

        await asyncio.gather(*(view_some() for _ in range(CALLERS)))

    def _link(self, answer: dict[str, Any]) -> Link:
        return Link(
            answer["id"],
            answer["share_hash"],
            self.jobs.get(answer["video_id"], "no video that was ever put"),
            to_seconds(answer["expires_at"]),
        )

    async def _send(
        self, method: str, path: str, body: object = None
    ) -> tuple[dict[str, float], int | None, Any]:
        """Make a call; returns its times, its status and its JSON, if it is no problem document.

        Of a call that was refused with 503 while the files were disturbed nobody knows whether it
        took effect, as of one without an answer. The same goes for a rendering that gave up because
        its video was replaced three times meanwhile. Raises ClientConnectorError where nothing was
        sent, and TimeoutError for no answer at all.
        """
        was_disturbed = self.is_disturbed
        headers = (
            {} if method == "GET" and "shared-reports/" in path else {"Authorization": self.key}
        )
        status, answer = None, None
        began_at, began = time.time(), time.monotonic()
        try:
            async with self.session.request(method, path, json=body, headers=headers) as response:
                text = await response.read()
            status = response.status
            answer = json.loads(text) if status < 300 else None
            gave_up = status == 503 and b"The link is being changed." in text
            if gave_up or (status == 503 and (was_disturbed or self.is_disturbed)):
                status = None
        except ClientConnectorError:
            raise
        except (LostError, ClientError):
            pass
        ended, ended_at = time.monotonic(), time.time()
        times = {"began": began, "ended": ended, "began_at": began_at, "ended_at": ended_at}
        return times, status, answer


async def storm(folder: Path, kills: int, seed: int) -> Outcome:
    """Kill a service on a database in ``folder`` so many times, and tell what was seen."""
    random = Random(seed)
    key = run("keys", "create", "--user", f"{1:032}", "--name", "x", folder=folder).stdout.strip()
    database, log = folder / "test.sqlite3", folder / "serve.log"
    killed: list[float] = []
    async with aiohttp.ClientSession(
        "http://localhost",
        connector=aiohttp.UnixConnector(str(folder / "socket"), limit=0),
        timeout=aiohttp.ClientTimeout(total=PATIENCE),
        middlewares=[once],
    ) as session:
        it = Storm(session, key, random)
        operator = Operator(it, folder, random)
        async with asyncio.TaskGroup() as group:
            it.begin_generation(0)
            for _ in range(CALLERS):
                group.create_task(it.caller())
            for number in range(kills):
                if number % KILLS_A_GENERATION == 0:
                    it.begin_generation(number // KILLS_A_GENERATION)
                async with serving(folder, log) as process:
                    if random.random() < 0.1:
                        await asyncio.sleep(random.uniform(0, START))
                    else:
                        it.acknowledged.clear()
                        await asyncio.wait_for(it.acknowledged.wait(), PATIENCE)
                        await operator.step(process)
                        await asyncio.sleep(random.uniform(0, LIFE))
                    assert process.returncode is None, log.read_text()
                    killed.append(time.monotonic())
                await asyncio.to_thread(check_copy, database)
            it.over = True
        async with serving(folder, log) as process:
            while True:
                try:
                    await it.look_at_everything()
                    break
                except ClientConnectorError:
                    await asyncio.sleep(0.01)
            process.terminate()
            await asyncio.wait_for(process.wait(), PATIENCE)
    faults = broken(it.calls)
    check(database)
    # A database that is not at its path is a fault, which the log has to name.
    errors = [line for line in log.read_text().splitlines() if '"database fault"' not in line]
    if errors:
        faults.append(f"there are errors in the log: {errors[:10]}")
    return Outcome(it.calls, killed, faults, operator.done)


@asynccontextmanager
async def serving(folder: Path, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A serving process, killed where the context ends."""
    settings = {"UNIX_SOCKET": folder / "socket", "LOG_FORMAT": "json", "LOG_LEVEL": "error"}
    with log.open("a") as errors:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            "serve",
            env=environment(folder, LOOKUP_RATE_LIMIT="off", **settings),
            stderr=errors,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def check_copy(database: Path) -> None:
    """Check what a kill has left behind, and leave it as it is for the next process."""
    with tempfile.TemporaryDirectory() as folder:
        for file in (database, database.with_name(f"{database.name}-wal")):
            if file.exists():
                shutil.copy(file, folder)
        check(Path(folder, database.name))


def check(database: Path) -> None:
    """Fail where SQLite finds a fault in the file."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


WRITES: tuple[type[Call], ...] = (Create, Revoke, Put)


def unknown_writes(outcome: Outcome) -> list[int]:
    """For each kill, how many writes it left without an answer."""
    counts = [0] * len(outcome.kills)
    for call in outcome.calls:
        if call.status is None and isinstance(call, WRITES):
            number = bisect_left(outcome.kills, call.ended) - 1
            if number >= 0 and call.began <= outcome.kills[number]:
                counts[number] += 1
    return counts


def figures(outcome: Outcome) -> Iterator[str]:
    """What was seen, in lines."""
    unknown = unknown_writes(outcome)
    yield f"kills {len(unknown)}, of which {sum(map(bool, unknown))} met a write in flight"
    yield f"writes without an answer: {sum(unknown)}, {sum(unknown) / len(unknown):.1f} a kill"
    yield ", ".join(f"{name.replace('_', ' ')}: {times}" for name, times in outcome.done.items())
    yield f"calls {len(outcome.calls)}"
    for kind in (*WRITES, View, Listing):
        calls = [call for call in outcome.calls if isinstance(call, kind)]
        statuses = Counter(call.status or "no answer" for call in calls)
        shown = ", ".join(
            f"{status}: {count}" for status, count in sorted(statuses.items(), key=str)
        )
        yield f"  {kind.__name__:8} {len(calls):7}   {shown}"
    history = History(outcome.calls)
    answered = {call.link for call in outcome.calls if isinstance(call, Create) and call.link}
    created = sum(story.link not in answered for story in history.stories.values())
    open_ends = [
        story
        for story in history.stories.values()
        if {each.status for each in story.revokes} == {None}
    ]
    revoked = sum(story.gone < inf for story in open_ends)
    yield f"of the creates without an answer {created} had been made"
    yield f"of {len(open_ends)} links whose revokes had no answer {revoked} were revoked"
    yield f"promises broken: {len(outcome.broken)}"
    yield from outcome.broken[:20]


def main() -> None:
    """Storm, and tell what was seen; exit code 1 where a promise was broken."""
    kills = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else Random().randrange(10**6)
    print(f"seed {seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(storm(Path(folder), kills, seed))
    print("\n".join(figures(outcome)))
    print(f"{time.monotonic() - began:.0f} s")
    sys.exit(bool(outcome.broken))


if __name__ == "__main__":
    main()
