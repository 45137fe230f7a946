"""Instances of the service on one PostgreSQL server: what a storm kills on that engine."""

import asyncio
import shutil
import signal
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from math import inf
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from calls import Call
from operations import PATIENCE
from stages import LIFE, START, create_key, logged_errors, serving, stop
from support import postgresql
from support.database import use_database

if TYPE_CHECKING:
    from callers import Storm

COUNT = 3
_SERVER_SHARE = 0.3
"""The share of the kills that the server gets, with or without an instance at the same time."""

_BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}'"

_OVERRUN = "SELECT count(*) FROM shared_reports WHERE view_count > max_views"


class _Instance:
    """One instance, which starts again after it was killed."""

    def __init__(self, folder: Path, name: str, url: str) -> None:
        self.name = name
        self.socket = folder / name
        self.log = folder / f"{name}.log"
        self._folder, self._url = folder, url
        self._running = AsyncExitStack()

    def __str__(self) -> str:
        log = self.log.read_text()[-1000:]
        return f"{self.name}: exit code {self.process.returncode}, {log or 'nothing logged'}"

    async def start(self) -> None:
        self.process = await self._running.enter_async_context(
            serving(self._folder, self.socket, self.log, DATABASE=self._url)
        )

    async def kill(self) -> None:
        assert self.process.returncode is None, self.log.read_text()
        await self._running.aclose()


class PostgresqlStage:
    """Three instances on one server. Each kill meets an instance, the server, or one of each."""

    def __init__(self, folder: Path, random: Random) -> None:
        self._random = random
        self._files = postgresql.make_folder()
        self._settled: list[float] = []
        """Moments at which nothing was under way at the server for a process that is gone."""
        self.done: Counter[str] = Counter()
        postgresql.initialize(self._files)
        self._start_server()
        names = [f"instance_{number}" for number in range(1, COUNT + 1)]
        for name in names:  # each has a user of its own, by which its connections are known
            self._server.execute(f"CREATE ROLE {name} LOGIN SUPERUSER")
        use_database(folder, self._server.url())
        self.key = create_key(folder)
        address = self._server.url().text
        self._instances = [
            _Instance(folder, name, address.replace("postgres@", f"{name}@")) for name in names
        ]
        self.sockets = [instance.socket for instance in self._instances]
        self._serves = False

    def _start_server(self) -> None:
        self._running: AbstractContextManager[postgresql.PostgresServer] = postgresql.started(
            self._files, **postgresql.FAST
        )
        self._server = self._running.__enter__()

    async def kill(self, storm: "Storm") -> float:
        await self._serve(storm)
        await storm.await_acknowledgement()
        await asyncio.sleep(self._random.uniform(0, LIFE))
        victim = self._random.choice(self._instances)
        if self._random.random() < _SERVER_SHARE:
            with_instance = self._random.random() < 0.3
            return await self._crash_server(storm, victim if with_instance else None)
        killed = time.monotonic()
        await self._kill_instance(victim)
        if self._random.random() < 0.1:
            await asyncio.sleep(self._random.uniform(0, START))
            await self._kill_instance(victim)
        return killed

    async def _serve(self, storm: "Storm") -> None:
        """Start the instances with the first kill; wait until all of them are at work."""
        if not self._serves:
            self._serves = True
            for instance in self._instances:
                await instance.start()
        await self._await_readiness(storm)

    async def _await_readiness(self, storm: "Storm") -> None:
        try:
            await asyncio.gather(*map(storm.await_readiness, range(COUNT)))
        except AssertionError as error:
            error.add_note("\n".join(map(str, self._instances)))
            raise

    async def _kill_instance(self, instance: _Instance) -> None:
        """Kill an instance, and start it again when its last statement is over at the server."""
        self.done["instances killed"] += 1
        await instance.kill()
        deadline = time.monotonic() + PATIENCE
        sql = _BACKENDS.format(instance.name)
        while await asyncio.to_thread(postgresql.fetch, self._server.url().text, sql) != [(0,)]:
            assert time.monotonic() < deadline, "connections of a killed instance stay"
            await asyncio.sleep(0.01)
        self._settled.append(time.monotonic())
        await instance.start()

    async def _crash_server(self, storm: "Storm", instance: _Instance | None) -> float:
        """Stop the server at once, kill an instance or none, and start both again."""
        self.done["server stopped at once"] += 1
        storm.begin_disturbance()
        killed = time.monotonic()
        self._server.process.send_signal(signal.SIGQUIT)
        if instance is not None:
            self.done["instances killed with the server"] += 1
            await instance.kill()
        await asyncio.to_thread(self._server.process.wait, PATIENCE)
        self._settled.append(time.monotonic())
        await asyncio.sleep(self._random.uniform(0, LIFE))
        await asyncio.to_thread(self._start_server)
        if instance is not None:
            await instance.start()
        await self._await_readiness(storm)
        storm.end_disturbance()
        return killed

    @asynccontextmanager
    async def at_rest(self) -> AsyncIterator[None]:
        yield
        for instance in self._instances:
            await stop(instance.process)

    def settled(self, calls: list[Call]) -> list[Call]:
        """The calls; those without an answer end when the server has nothing more to do for them.

        The server goes on with the last statement of an instance that was killed.
        """
        return [call if call.status is not None else self._ended_late(call) for call in calls]

    def _ended_late(self, call: Call) -> Call:
        moment = bisect_left(self._settled, call.ended)
        end = self._settled[moment] if moment < len(self._settled) else inf
        return replace(call, ended=end, ended_at=call.ended_at + end - call.ended)

    def faults(self) -> list[str]:
        [(count,)] = postgresql.fetch(self._server.url().text, _OVERRUN)
        found = [f"links with more views than allowed: {count}"] if count else []
        return found + [fault for each in self._instances for fault in logged_errors(each.log)]

    def close(self) -> None:
        """Stop the server, and delete its files."""
        self._running.__exit__(None, None, None)
        shutil.rmtree(self._files)
