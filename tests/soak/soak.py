"""Twenty minutes of everything at once: does anything grow, leak, slow down or fail?

``python tests/soak/soak.py 20`` serves a new database for so many minutes while callers create
links that mostly expire within seconds, view them, look at their pages and downloads, list, revoke
and replace videos, and come back with new connections again and again. What the process holds is
written down every five seconds to .bench/soak.json, and drawn to .bench/soak.svg (``PLOT=1``: to
docs/). It ends with what has changed from the second quarter of the time to the last.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).parent.parent))

from panels import draw
from support.process import new_key, serving

ROOT = Path(__file__).parent.parent.parent
SAMPLE = ROOT / "service/cli/samples/street-meadow-car.json"
USER = "550e8400-e29b-41d4-a716-446655440000"
CALLERS = 16
NO_FILTER = 5.0  # seconds between two samples
LIFETIME = 30  # requests that a caller makes before it comes back with a new connection
VIDEOS = 20
PAUSE = 0.005  # seconds between two requests of a caller: a busy service, not a full one
EXPECTED = {200, 201, 404, 410}


@dataclass
class Sample:
    """What was seen in some seconds, and what the process held in the end."""

    minute: float
    requests: int
    errors: int
    p50: float
    """Milliseconds."""
    p99: float
    memory: float
    """MiB."""
    files: int
    wal: float
    """MiB."""
    database: float
    """MiB."""


class Soak:
    """The callers, and what they know together."""

    def __init__(self, url: str, key: str, until: float) -> None:
        self.url = url
        self.key = key
        self.until = until
        self.random = Random(1)
        self.export = json.loads(SAMPLE.read_bytes())
        self.links: list[tuple[str, str]] = []
        """Ids and hashes of the latest links, dead ones among them."""
        self.times: list[float] = []
        self.errors: list[str] = []
        self.requests = 0

    async def caller(self) -> None:
        """Call again and again, with a new connection now and then."""
        while time.monotonic() < self.until:
            connector = aiohttp.TCPConnector(limit=1)
            timeout = aiohttp.ClientTimeout(total=30)
            async with aiohttp.ClientSession(
                self.url, connector=connector, timeout=timeout
            ) as session:
                for _ in range(LIFETIME):
                    await self.one(session)
                    await asyncio.sleep(PAUSE)

    async def one(self, session: aiohttp.ClientSession) -> None:
        """Make one call; anything but an expected answer is an error."""
        kinds: list[Callable[[aiohttp.ClientSession], Awaitable[int]]]
        kinds = [self.view, self.create, self.look, self.revoke, self.list, self.replace]
        [kind] = self.random.choices(kinds, [70, 15, 6, 4, 4, 1])
        self.requests += 1
        try:
            status = await kind(session)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.errors.append(f"{kind.__name__}: {error!r}")
        else:
            if status not in EXPECTED:
                self.errors.append(f"{kind.__name__}: {status}")

    async def call(
        self, session: aiohttp.ClientSession, method: str, path: str, body: Any = None
    ) -> tuple[int, bytes]:
        headers = {"Authorization": self.key}
        async with session.request(method, path, json=body, headers=headers) as response:
            return response.status, await response.read()

    def link(self) -> tuple[str, str]:
        return self.random.choice(self.links) if self.links else ("1", "A" * 16)

    async def view(self, session: aiohttp.ClientSession) -> int:
        began = time.perf_counter()
        status, _ = await self.call(session, "GET", f"/api/shared-reports/{self.link()[1]}")
        self.times.append((time.perf_counter() - began) * 1000)
        return status

    async def create(self, session: aiohttp.ClientSession) -> int:
        lives = self.random.choice([5, 10, 15, 60, None])
        end = lives and datetime.now(UTC) + timedelta(seconds=lives)
        body = {
            "video_id": f"job-{self.random.randrange(VIDEOS)}",
            "expires_at": end and end.isoformat(),
        }
        status, answer = await self.call(session, "POST", "/api/shared-reports", body)
        if status == 201:
            made = json.loads(answer)
            self.links.append((made["id"], made["share_hash"]))
            del self.links[:-500]
        return status

    async def look(self, session: aiohttp.ClientSession) -> int:
        path = self.random.choice(["", "/analysis.json", "/analysis.csv", "/qr.svg"])
        return (await self.call(session, "GET", f"/r/{self.link()[1]}{path}"))[0]

    async def revoke(self, session: aiohttp.ClientSession) -> int:
        return (await self.call(session, "DELETE", f"/api/shared-reports/{self.link()[0]}"))[0]

    async def list(self, session: aiohttp.ClientSession) -> int:
        return (await self.call(session, "GET", "/api/videos"))[0]

    async def replace(self, session: aiohttp.ClientSession) -> int:
        job_id = f"job-{self.random.randrange(VIDEOS)}"
        return await self.put(session, job_id)

    async def put(self, session: aiohttp.ClientSession, job_id: str) -> int:
        body = self.export | {"job_id": job_id}
        return (await self.call(session, "PUT", f"/api/videos/{job_id}", body))[0]


async def soak(url: str, key: str, pid: int, database: Path, minutes: float) -> list[Sample]:
    """Let the callers call, and look at the process meanwhile."""
    began = time.monotonic()
    work = Soak(url, key, began + minutes * 60)
    async with aiohttp.ClientSession(url) as session:
        for number in range(VIDEOS):
            await work.put(session, f"job-{number}")
    callers = [asyncio.create_task(work.caller()) for _ in range(CALLERS)]
    samples = []
    while time.monotonic() < work.until:
        before, errors = work.requests, len(work.errors)
        work.times.clear()
        await asyncio.sleep(NO_FILTER)
        times = sorted(work.times) or [0.0]
        samples.append(
            Sample(
                minute=(time.monotonic() - began) / 60,
                requests=work.requests - before,
                errors=len(work.errors) - errors,
                p50=times[len(times) // 2],
                p99=times[int(len(times) * 0.99)],
                memory=_memory(pid),
                files=len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208 - nothing but a count
                wal=_size(database.with_name(f"{database.name}-wal")),
                database=_size(database),
            )
        )
    await asyncio.gather(*callers)
    for error in work.errors[:20]:
        print(error)
    return samples


def _memory(pid: int) -> float:
    [line] = [
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    ]
    return int(line.split()[1]) / 1024


def _size(path: Path) -> float:
    return path.stat().st_size / 2**20 if path.exists() else 0.0


def summary(samples: list[Sample]) -> str:
    """The second quarter beside the last: what is flat is the same in both."""
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    requests, errors = (
        sum(getattr(each, name) for each in samples) for name in ("requests", "errors")
    )
    lines = [f"{requests} requests, {errors} errors, in {samples[-1].minute:.1f} minutes"]
    for name, unit in (
        ("memory", "MiB"),
        ("files", ""),
        ("wal", "MiB"),
        ("database", "MiB"),
        ("p50", "ms"),
        ("p99", "ms"),
        ("requests", f"in {NO_FILTER:g} s"),
    ):
        first, last = (
            statistics.median(getattr(each, name) for each in part) for part in (early, late)
        )
        most = max(getattr(each, name) for each in samples)
        lines.append(f"  {name:9} {first:9.2f} → {last:9.2f} {unit:7} at most {most:.2f}")
    return "\n".join(lines)


def main(minutes: float) -> None:
    """Serve, call, and say what was seen."""
    out = ROOT / ".bench"
    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix="soak-") as name:
        folder = Path(name)
        key = new_key(folder, USER)
        # Whoever comes with hashes of links that were revoked meanwhile is taken for a guesser.
        with serving(folder, LOOKUP_RATE_LIMIT="off") as server:
            samples = asyncio.run(
                soak(server.url, key, server.process.pid, folder / "test.sqlite3", minutes)
            )
            server.stop()
    (out / "soak.json").write_text(json.dumps([asdict(each) for each in samples], indent=1))
    plot = ROOT / "docs" if os.environ.get("PLOT") == "1" else out
    (plot / "soak.svg").write_text(draw([asdict(each) for each in samples]))
    print(summary(samples))
    if any(each.errors for each in samples):
        sys.exit(1)


if __name__ == "__main__":
    main(float(sys.argv[1]))
