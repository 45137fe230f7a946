"""A load generator: keeps N connections busy with requests and times every answer.

It speaks just enough HTTP to be several times faster than what it measures: a request is sent as
soon as the answer before it has been read to its end. It is a process of its own, so that it can
have a core of its own: jobs come in as lines of JSON, and a line of JSON answers each. An empty
line ends the round that is running.
"""

import asyncio
import itertools
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import uvloop

_PATIENCE = 30.0
_LINE_MAX = 2**26


@dataclass(frozen=True)
class Stream:
    """Requests of one kind, all of which are to be answered with one status."""

    kind: str
    status: int
    request: str
    """The request, with ``{}`` where its value stands."""
    values: list[str] = field(default_factory=lambda: [""])
    weight: int = 1
    """How many of these are sent for each ``weight`` of the other streams of the same job."""
    once: bool = False
    """A value is good for one request, and the round ends when there is none left."""


@dataclass(frozen=True)
class Job:
    """What to ask of whom."""

    port: int
    connections: int
    seconds: float
    streams: list[Stream]


@dataclass(frozen=True)
class Times:
    """How many answers there were, and how long they took in milliseconds."""

    count: int
    p50: float
    p99: float
    longest: float


@dataclass(frozen=True)
class Round:
    """What came of a job."""

    seconds: float
    busy: float
    """The part of the time for which the generator itself was working."""
    errors: dict[str, int]
    """What went wrong, and how often."""
    all: Times
    kinds: dict[str, Times]


class Supply:
    """The requests of a round, and the times of their answers."""

    def __init__(self, streams: list[Stream]) -> None:
        self.times: dict[str, list[float]] = {stream.kind: [] for stream in streams}
        self.errors: dict[str, int] = {}
        self.until = 0.0
        self.requests = self._requests(streams)

    def _requests(self, streams: list[Stream]) -> Iterator[tuple[bytes, bytes, list[float]]]:
        """Request, the beginning of its answer, and where the time that it took is to go."""
        supplies = [
            iter(made) if stream.once else itertools.cycle(made)
            for stream, made in ((stream, _requests(stream)) for stream in streams)
        ]
        expected = [f"HTTP/1.1 {stream.status} ".encode() for stream in streams]
        times = [self.times[stream.kind] for stream in streams]
        order = [place for place, stream in enumerate(streams) for _ in range(stream.weight)]
        random.shuffle(order)
        for place in itertools.cycle(order):
            request = next(supplies[place], None)
            if request is None:
                return
            yield request, expected[place], times[place]

    def end(self) -> None:
        """Let nothing more be sent."""
        self.requests = iter(())

    def fail(self, what: str) -> None:
        self.errors[what] = self.errors.get(what, 0) + 1


def _requests(stream: Stream) -> list[bytes]:
    before, _, after = stream.request.partition("{}")
    return [f"{before}{value}{after}".encode() for value in stream.values]


class Connection(asyncio.Protocol):
    """One connection that asks again and again until its time is up."""

    def __init__(self, supply: Supply) -> None:
        self.supply = supply
        self.done = asyncio.get_running_loop().create_future()
        self.buffer = b""
        self.over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass

    def send(self) -> None:
        self.sent = time.perf_counter()
        following = next(self.supply.requests, None) if self.sent < self.supply.until else None
        if following is None:
            self.over = True
            self.transport.close()
        else:
            request, self.expected, self.times = following
            self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer = buffer = self.buffer + data if self.buffer else data
        if not _is_whole(buffer):
            return
        self.times.append(time.perf_counter() - self.sent)
        if not buffer.startswith(self.expected):
            status = buffer[9:12].decode()
            self.supply.fail(f"{status} instead of {self.expected[9:12].decode()}")
        self.buffer = b""
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None or not self.over:
            self.supply.fail(f"connection lost: {exc}")
        if not self.done.done():
            self.done.set_result(None)


def _is_whole(answer: bytes) -> bool:
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = answer[: end + 2].lower()
    start = head.find(b"content-length: ")
    if start >= 0:
        return len(answer) >= end + 4 + int(head[start + 16 : head.index(b"\r", start)])
    if b"transfer-encoding: chunked" in head:
        return answer.endswith(b"\r\n0\r\n\r\n")
    return head.startswith(b"http/1.1 204")


async def run(job: Job, supply: Supply) -> Round:
    """Ask for as long as the job says; what has been asked by then is waited for."""
    loop = asyncio.get_running_loop()
    made = [
        (await loop.create_connection(lambda: Connection(supply), "127.0.0.1", job.port))[1]
        for _ in range(job.connections)
    ]
    worked = time.process_time()
    began = time.perf_counter()
    supply.until = began + job.seconds
    for each in made:
        each.send()
    async with asyncio.timeout(job.seconds + _PATIENCE):
        await asyncio.gather(*(each.done for each in made))
    seconds = time.perf_counter() - began
    return Round(
        seconds=seconds,
        busy=(time.process_time() - worked) / seconds,
        errors=supply.errors,
        all=_times([each for times in supply.times.values() for each in times]),
        kinds={kind: _times(times) for kind, times in supply.times.items()},
    )


def _times(seconds: list[float]) -> Times:
    if not seconds:
        return Times(0, 0.0, 0.0, 0.0)
    ordered = sorted(seconds)
    return Times(
        count=len(ordered),
        p50=ordered[len(ordered) // 2] * 1000,
        p99=ordered[int(len(ordered) * 0.99)] * 1000,
        longest=ordered[-1] * 1000,
    )


def read_job(line: bytes) -> Job:
    raw: dict[str, Any] = json.loads(line)
    return Job(**raw | {"streams": [Stream(**stream) for stream in raw["streams"]]})


def read_round(line: str) -> Round:
    raw: dict[str, Any] = json.loads(line)
    kinds = {kind: Times(**times) for kind, times in raw["kinds"].items()}
    return Round(**raw | {"all": Times(**raw["all"]), "kinds": kinds})


async def main() -> None:
    """Do the jobs that come in."""
    reader = asyncio.StreamReader(limit=_LINE_MAX)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    following = loop.create_task(reader.readline())
    while line := await following:
        following = loop.create_task(reader.readline())
        if line == b"\n":  # the round that it was to end is over
            continue
        job = read_job(line)
        supply = Supply(job.streams)
        done = loop.create_task(run(job, supply))
        await asyncio.wait({done, following}, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            supply.end()
        print(json.dumps(asdict(await done)), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
