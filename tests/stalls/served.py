"""The service as a process that watches its own event loop: ``served.py time`` or ``count``.

It prints its address, and for each line on standard input what it has seen since the last one, as
JSON. ``time`` serves with the loop of production and measures; ``count`` serves with asyncio's own
loop and counts what does not depend on the machine.
"""

import asyncio
import json
import os
import sys
import threading
import time
from asyncio import selector_events
from asyncio.events import Handle
from collections.abc import Callable
from typing import Any

from aiohttp import web

from service.concurrency.bounded_pool import BoundedPool
from service.config import Config
from service.repositories.sqlite.engine.read_connection import ReadConnection
from service.repositories.sqlite.engine.worker import _Task
from service.server import run as server
from service.server.systemd import Supervisor
from service.telemetry import logs
from service.telemetry.log_sink import BackgroundLogSink

BEAT = 0.001  # seconds
MIB = 2**20


class Seen:
    """The most of each figure since the last report, and where it was seen."""

    def __init__(self) -> None:
        self.most: dict[str, float] = {}
        self.where: dict[str, str] = {}
        self.pools: set[str] = set()

    def note(self, figure: str, amount: float, where: str = "") -> None:
        if amount > self.most.get(figure, 0):
            self.most[figure], self.where[figure] = amount, where

    def report(self) -> str:
        report = {"most": self.most, "where": self.where, "pools": sorted(self.pools)}
        text = json.dumps(report)
        self.__init__()  # type: ignore[misc] # all as at the beginning
        return text


seen = Seen()


def watch_time(loop: asyncio.AbstractEventLoop) -> None:
    """Note by a timer how long the loop is busy, and how long threads keep it from running.

    ``busy`` is CPU time of the loop's thread. ``late`` is the delay of the timer, or the CPU time
    of the whole process in the meantime if that is less: a delay in which the process did not run
    is the machine's.
    """
    due, busy, used = time.perf_counter() + BEAT, time.thread_time(), time.process_time()

    def beat() -> None:
        nonlocal due, busy, used
        now, cpu, all_cpu = time.perf_counter(), time.thread_time(), time.process_time()
        seen.note("late", min(now - due, all_cpu - used))
        seen.note("busy", cpu - busy)
        due, busy, used = now + BEAT, cpu, all_cpu
        loop.call_later(BEAT, beat)

    loop.call_later(BEAT, beat)


def watch_counts() -> None:
    """Note what does not depend on the machine, by functions around those that do the work."""
    replace(Handle, "_run", counting)
    transport = selector_events._SelectorSocketTransport  # type: ignore[attr-defined] # unpublished
    replace(transport, "write", weighing)
    replace(transport, "writelines", weighing)
    replace(_Task, "run", numbering)
    replace(ReadConnection, "_fetch", looking)
    replace(BoundedPool, "submit", submitting)


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    setattr(owner, name, make(getattr(owner, name)))


def counting(run: Any) -> Any:
    """``calls``: of functions, Python's and C's, in one callback of the event loop."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    def run_counted(handle: Handle) -> None:
        before = calls
        run(handle)
        seen.note("calls", calls - before)

    sys.setprofile(count)
    return run_counted


def weighing(write: Any) -> Any:
    """``written``: bytes that are handed to a connection at once."""

    def write_weighed(transport: Any, data: Any) -> None:
        is_one = isinstance(data, bytes | bytearray | memoryview)
        seen.note("written", len(data) if is_one else sum(map(len, data)))
        write(transport, data)

    return write_weighed


def numbering(run: Any) -> Any:
    """``rows`` and ``changed``: of one statement of a thread, unless it is one for many calls."""

    async def run_numbered(task: _Task, connection: Any) -> Any:
        result = await run(task, connection)
        if isinstance(result, int):
            seen.note("changed", result, task.name)
        elif task.batch is None:
            seen.note("rows", len(result), task.name)
        return result

    return run_numbered


def looking(fetch: Any) -> Any:
    """``looked``: bytes that one look-up on the event loop returns."""

    def fetch_noted(connection: ReadConnection, sql: str, parameters: Any) -> Any:
        rows = fetch(connection, sql, parameters)
        values = [value for row in rows for value in row if isinstance(value, str | bytes)]
        seen.note("looked", sum(map(len, values)), sql.partition("\n")[0])
        return rows

    return fetch_noted


def submitting(submit: Any) -> Any:
    """The names of the pools whose threads work."""

    def submit_noted(pool: BoundedPool, function: Any) -> Any:
        seen.pools.add(pool.name)
        return submit(pool, function)

    return submit_noted


async def announce(_app: web.Application, address: server.Address) -> None:
    loop = asyncio.get_running_loop()
    if sys.argv[1] == "time":
        watch_time(loop)

    def report() -> None:
        print(seen.report(), flush=True)

    def listen() -> None:
        for _ in sys.stdin:
            loop.call_soon_threadsafe(report)

    print(address.url, flush=True)
    threading.Thread(target=listen, daemon=True).start()


def main() -> None:
    config = Config.from_env(os.environ)
    if sys.argv[1] == "count":
        server.new_event_loop = asyncio.new_event_loop  # type: ignore[attr-defined,assignment] # not uvloop's
        watch_counts()
    sink = BackgroundLogSink(sys.stderr)
    logs.configure(config.log_format, config.log_level, sink)
    server.run(config, Supervisor.from_env(os.environ, os.getpid()), announce, sink)


if __name__ == "__main__":
    main()
