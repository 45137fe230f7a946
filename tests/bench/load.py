"""A load generator: keeps N connections busy with prepared requests and times every answer.

It speaks just enough HTTP to be several times faster than what it measures: a request is sent as
soon as the answer before it has been read to its Content-Length.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import cast

import uvloop

_PATIENCE = 20.0


@dataclass(frozen=True)
class Result:
    """One round against one server. Times are in milliseconds."""

    requests: int
    errors: int
    per_second: float
    p50: float
    p99: float


class Connection(asyncio.Protocol):
    """One connection that asks again and again until its time is up."""

    def __init__(self, requests: Iterator[bytes], expect: bytes, until: float) -> None:
        self.requests = requests
        self.expect = b"HTTP/1.1 " + expect
        self.until = until
        self.times: list[float] = []
        self.errors = 0
        self.done = asyncio.get_running_loop().create_future()
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass
        self.send()

    def send(self) -> None:
        self.sent = time.perf_counter()
        if self.sent >= self.until:
            self.transport.close()
        else:
            self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        start = self.buffer.index(b"Content-Length: ") + 16
        length = int(self.buffer[start : self.buffer.index(b"\r\n", start)])
        if len(self.buffer) < head + 4 + length:
            return
        self.times.append(time.perf_counter() - self.sent)
        self.errors += not self.buffer.startswith(self.expect)
        self.buffer = b""
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None or time.perf_counter() < self.until:
            self.errors += 1
        if not self.done.done():
            self.done.set_result(None)


async def load(
    port: int, requests: list[bytes], expect: bytes, connections: int, seconds: float
) -> Result:
    """Ask for ``seconds`` over so many connections; answers are to have the status ``expect``."""
    loop = asyncio.get_running_loop()
    supply = itertools.cycle(requests)
    began = time.perf_counter()
    made = [
        (
            await loop.create_connection(
                lambda: Connection(supply, expect, began + seconds), "127.0.0.1", port
            )
        )[1]
        for _ in range(connections)
    ]
    async with asyncio.timeout(seconds + _PATIENCE):
        await asyncio.gather(*(each.done for each in made))
    took = time.perf_counter() - began
    times = sorted(time for each in made for time in each.times)
    return Result(
        requests=len(times),
        errors=sum(each.errors for each in made),
        per_second=len(times) / took,
        p50=times[len(times) // 2] * 1000,
        p99=times[int(len(times) * 0.99)] * 1000,
    )


if __name__ == "__main__":
    # A process of its own, so that it can have a core of its own: the job comes as JSON.
    job = json.load(sys.stdin)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(
            load(
                job["port"],
                [request.encode() for request in job["requests"]],
                job["expect"].encode(),
                job["connections"],
                job["seconds"],
            )
        )
    json.dump(asdict(result), sys.stdout)
