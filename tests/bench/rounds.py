"""Rounds of load: each contestant in turn, again and again, so that what disturbs one disturbs all.

Any answer that is not the expected one ends the bench.
"""

import json
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import IO, cast

from load import Job, Round, Stream, read_round
from servers import LOAD_CORE, Server, cpu, pin, worked
from tables import HERE

_PATIENCE = 20.0
_WARM_UP = 0.25  # of a round
_VIEWED_A_SECOND = 20_000


class Loader:
    """The load generator's process, on its core."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.pid = process.pid
        self._input = cast("IO[str]", process.stdin)
        self._output = cast("IO[str]", process.stdout)

    def start(self, job: Job) -> None:
        self._write(json.dumps(asdict(job)))

    def stop(self) -> Round:
        """End the round that is running before its time."""
        self._write("")
        return self.result()

    def result(self) -> Round:
        """What has come of the job."""
        line = self._output.readline()
        if not line:
            sys.exit("the load generator has ended")
        done = read_round(line)
        if done.errors or not done.all.count:
            sys.exit(f"errors in {done.all.count} requests: {done.errors}")
        return done

    def run(self, job: Job) -> Round:
        self.start(job)
        return self.result()

    def _write(self, line: str) -> None:
        self._input.write(line + "\n")
        self._input.flush()


@contextmanager
def loading() -> Iterator[Loader]:
    """A load generator as long as the context lasts."""
    with subprocess.Popen(
        [sys.executable, HERE / "load.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=pin(LOAD_CORE),  # noqa: PLW1509 - no threads here
    ) as process:
        try:
            yield Loader(process)
        finally:
            process.kill()


@dataclass(frozen=True)
class Bench:
    """What everything is measured with."""

    load: Loader
    folder: Path
    rounds: int
    seconds: float
    """How long a round takes."""
    quick: bool

    def some(self, hashes: list[str]) -> list[str]:
        """The links that a round views: other ones each time, where there are so many."""
        return random.sample(hashes, min(len(hashes), int(self.seconds * _VIEWED_A_SECOND)))


@dataclass(frozen=True)
class Contestant:
    """A server, and what it is to be asked in the next round."""

    server: Server
    streams: Callable[[], list[Stream]]


@dataclass(frozen=True)
class Cell:
    """What one contestant has shown with so many connections: the medians of its rounds."""

    per_second: float
    p50: float
    """Milliseconds, as are the other times."""
    p99: float
    longest: float
    cpu: float
    """Microseconds of the processor's for a request."""
    peak: float
    """The most memory that it has had until then, in MiB."""
    busy: float
    """The part of the time for which the load generator was working, in the busiest round."""
    others: float
    """Seconds of the two cores' that went to nobody of the bench, for each second."""
    rounds: list[float]
    """Requests a second in each."""


Cells = dict[str, Cell]


def compare(bench: Bench, contestants: dict[str, Contestant], connections: int) -> Cells:
    """Load each contestant in turn, round after round; one before the first is to warm up."""
    seen: dict[str, list[tuple[Round, _Clocks]]] = {name: [] for name in contestants}
    for number in range(bench.rounds + 1):
        for name, contestant in contestants.items():
            server = contestant.server
            seconds = bench.seconds if number else bench.seconds * _WARM_UP
            job = Job(server.port, connections, seconds, contestant.streams())
            before = _Clocks.read(server, bench.load)
            done = bench.load.run(job)
            if number:
                seen[name].append((done, _Clocks.read(server, bench.load).since(before)))
    return {name: _cell(seen[name], each.server) for name, each in contestants.items()}


@dataclass(frozen=True)
class _Clocks:
    """Seconds so far, in hundredths: they are added up over all rounds before they are divided."""

    wall: float
    server: float
    """What the server has used of the processor."""
    others: float
    """What nobody of the bench has used of the two cores."""

    @classmethod
    def read(cls, server: Server, load: Loader) -> "_Clocks":
        used = server.cpu()
        ours = used + cpu(load.pid) + time.process_time()
        return cls(time.monotonic(), used, worked() - ours)

    def since(self, before: "_Clocks") -> "_Clocks":
        return _Clocks(
            self.wall - before.wall, self.server - before.server, self.others - before.others
        )


def _cell(rounds: list[tuple[Round, _Clocks]], server: Server) -> Cell:
    done = [each for each, _ in rounds]
    took = [clocks for _, clocks in rounds]
    per_second = [each.all.count / each.seconds for each in done]

    return Cell(
        per_second=statistics.median(per_second),
        p50=statistics.median(each.all.p50 for each in done),
        p99=statistics.median(each.all.p99 for each in done),
        longest=max(each.all.longest for each in done),
        cpu=sum(each.server for each in took) / sum(each.all.count for each in done) * 1e6,
        peak=server.peak(),
        busy=max(each.busy for each in done),
        # Below zero where the interrupts that a process was charged with are more than the others.
        others=max(0.0, sum(each.others for each in took) / sum(each.wall for each in took)),
        rounds=per_second,
    )


def ratio(cells: Cells, name: str, other: str) -> float:
    """How many times as much one has done as the other, in the median of their rounds."""
    pairs = zip(cells[name].rounds, cells[other].rounds, strict=True)
    return statistics.median(its / others for its, others in pairs)


def ask(server: Server, stream: Stream) -> bytes:
    """Send a stream's first request as the load generator does; returns the answer's body."""
    with socket.create_connection(("127.0.0.1", server.port), _PATIENCE) as connection:
        connection.sendall(stream.request.replace("{}", stream.values[0], 1).encode())
        response = HTTPResponse(connection)
        response.begin()
        body = response.read()
    if response.status != stream.status:
        sys.exit(f"{stream.kind}: {response.status} instead of {stream.status}: {body!r}")
    return body
