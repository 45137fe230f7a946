"""What a storm kills: a service on an SQLite file, or instances on a PostgreSQL server.

A stage prepares a database, serves it at its ``sockets``, and makes something die whenever it is
asked to. ``Storm`` knows nothing else of the engine.
"""

import asyncio
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Protocol

from calls import Call
from operations import PATIENCE, USER, Operator
from support.process import COMMAND, environment, new_key, run

if TYPE_CHECKING:
    from callers import Storm

LIFE = 0.6
"""Seconds; a life is half as long on the average, from its first acknowledged write on."""
START = 0.5
"""Seconds in which a process that is killed at its start is killed."""


class Stage(Protocol):
    """What a storm needs of an engine."""

    sockets: list[Path]
    """Where the service listens: one socket for each instance."""
    key: str
    done: Counter[str]
    """What happened beside the calls, by name."""

    async def kill(self, storm: "Storm") -> float:
        """Let the storm go on for a while, then kill. Returns the moment of the kill."""

    def at_rest(self) -> AbstractAsyncContextManager[None]:
        """Serve without a kill, and stop properly."""

    def settled(self, calls: list[Call]) -> list[Call]:
        """The calls, each of which ends only after its effect, if it ever has one."""

    def faults(self) -> list[str]:
        """What is wrong with what the storm has left behind."""

    def close(self) -> None:
        """End what still runs."""


class SqliteStage:
    """One process on a file, which an operator moves, deletes and restores."""

    def __init__(self, folder: Path, random: Random) -> None:
        self._folder, self._random = folder, random
        self._database, self._log = folder / "test.sqlite3", folder / "serve.log"
        self._operator: Operator | None = None
        self.done: Counter[str] = Counter()
        self.sockets = [folder / "socket"]
        self.key = create_key(folder)

    async def kill(self, storm: "Storm") -> float:
        if self._operator is None:
            self._operator = Operator(storm, self._folder, self._random)
            self.done = self._operator.done
        async with serving(self._folder, self.sockets[0], self._log) as process:
            if self._random.random() < 0.1:
                await asyncio.sleep(self._random.uniform(0, START))
            else:
                try:
                    await storm.await_acknowledgement()
                except TimeoutError as error:
                    error.add_note(f"exit code {process.returncode}, {self._log.read_text()}")
                    raise
                await self._operator.step(process)
                await asyncio.sleep(self._random.uniform(0, LIFE))
            assert process.returncode is None, self._log.read_text()
            killed = time.monotonic()
        await asyncio.to_thread(check_copy, self._database)
        return killed

    @asynccontextmanager
    async def at_rest(self) -> AsyncIterator[None]:
        async with serving(self._folder, self.sockets[0], self._log) as process:
            yield
            await stop(process)

    def settled(self, calls: list[Call]) -> list[Call]:
        return calls  # a killed process does nothing more

    def faults(self) -> list[str]:
        check(self._database)
        return logged_errors(self._log)

    def close(self) -> None:
        pass


def create_key(folder: Path) -> str:
    """Create the database of ``folder``, if need be, and a key in it; its user asks for events."""
    key = new_key(folder, USER)
    run("events", "enable", "--user", USER, folder=folder)
    return key


@asynccontextmanager
async def serving(
    folder: Path, socket: Path, log: Path, **settings: object
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A serving process, killed where the context ends."""
    settings = {"UNIX_SOCKET": socket, "LOG_FORMAT": "json", "LOG_LEVEL": "error"} | settings
    settings["WEBHOOK_NETWORKS"] = "127.0.0.0/8"
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


async def stop(process: asyncio.subprocess.Process) -> None:
    """End a process properly."""
    process.terminate()
    await asyncio.wait_for(process.wait(), PATIENCE)


def logged_errors(log: Path) -> list[str]:
    """The errors in a log, but for faults of the database, which it has to name."""
    errors = [line for line in log.read_text().splitlines() if '"database fault"' not in line]
    return [f"there are errors in the log: {errors[:10]}"] if errors else []


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
