"""A lane: all the traffic of one SQLite connection, in as few trips to its thread as it can.

A task carries one statement, and in autocommit mode a statement is a transaction: it can't be
left half done, and a cancelled caller can't leave one open. Calls of a Batch that wait for their
task at the same time share it, and so one hop to the thread, one statement and, when it writes,
one fsync. The batch grows by itself under load; alone, a call waits for no more than some turns
of the loop, which are empty then.
"""

import asyncio
import math
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiosqlite
import structlog

from service.domain.errors import UnavailableError
from service.repositories.sqlite.engine.batch import MAX_BATCH_SIZE, Batch, Item
from service.repositories.sqlite.engine.errors import ErrorMonitor, blocks_queue, caller_error
from service.repositories.sqlite.engine.statements import (
    SIZES,
    Parameters,
    Row,
    is_closed,
    statement_name,
)
from service.telemetry.histogram import SECONDS, Histogram

# For how long a task waits for another call, whichever is shorter: a turn takes microseconds when
# there is little to do, and milliseconds when there is much.
BATCH_WINDOW_TURNS = 3  # of the loop: to be read, to be woken, to ask


BATCH_WINDOW_SECONDS = 0.0005  # seconds


QUEUE_TIMEOUT = 5.0
"""Seconds that a call waits for its task to leave; later it is refused, and its work not done."""


log = structlog.get_logger()


class _Task:
    """One statement, and who waits for it."""

    __slots__ = ("asked", "batch", "counts", "items", "parameters", "sql", "waiting")

    def __init__(
        self,
        sql: str,
        parameters: Parameters | None = None,
        batch: Batch[Any] | None = None,
        *,
        counts: bool = False,
    ) -> None:
        self.sql = sql
        self.parameters = parameters or {}
        self.batch = batch
        self.counts = counts
        """Whether it is asked how many rows it has changed, and not for rows."""
        self.items: list[Any] = []
        self.waiting: dict[Any, asyncio.Future[Any]] = {}
        self.asked = time.perf_counter()

    def statement(self) -> tuple[str, Parameters | Sequence[object]]:
        if self.batch is not None:
            return self.batch.prepare(self.items)
        return self.sql, _values(self.parameters)

    async def make(self, connection: aiosqlite.Connection) -> list[Row] | int:
        if not self.counts:
            return await connection.execute_fetchall(*self.statement())  # type: ignore[return-value]
        async with connection.execute(*self.statement()) as cursor:
            return cursor.rowcount

    def answer(self, done: list[Row] | int) -> None:
        if self.batch is None or isinstance(done, int):
            _resolve(self.waiting[None], done)
            return
        found = {row[0]: row for row in done}
        for key, future in self.waiting.items():
            _resolve(future, found.get(key))

    def fail(self, error: Exception) -> None:
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(caller_error(error))


def _resolve(future: "asyncio.Future[Any]", result: object) -> None:
    if not future.done():  # its caller may have gone; the work is done all the same
        future.set_result(result)


def _values(parameters: Mapping[str, Any]) -> Parameters:
    return {name: value() if callable(value) else value for name, value in parameters.items()}


async def _no_other() -> aiosqlite.Connection:
    raise UnavailableError("The connection to the database was lost.")


@dataclass(frozen=True, slots=True)
class ConnectionRecovery:
    """What a lane does about faults."""

    faults: ErrorMonitor = field(default_factory=ErrorMonitor)
    replaced: Callable[[], str | None] = lambda: None
    """Says why what is written would be lost; None where it would not. Asked before each task, and
    again before its answer."""
    reopen: Callable[[], Awaitable[aiosqlite.Connection]] = _no_other
    """Opens another connection where ``lost`` says something, or the one there was is closed."""


class ConnectionWorker:
    """Runs statements on ``connection``, one task at a time, in the order in which they came.

    A call is asked for at once, and gives a future: most are awaited on the spot, and a coroutine
    around each would do nothing but cost. A task that takes ``slow`` seconds or longer is logged by
    its statement's name.
    """

    def __init__(
        self,
        connection: aiosqlite.Connection,
        name: str = "",
        slow: float = math.inf,
        recovery: ConnectionRecovery | None = None,
    ) -> None:
        self.name = name
        self.batch_sizes = Histogram(SIZES)
        """Calls a task."""
        self.statement_seconds = Histogram(SECONDS)
        """Seconds a task, from its leaving to its answers."""
        self._slow = slow
        self.connection: aiosqlite.Connection | None = connection
        """None where it was lost or left: the next task opens another."""
        self._recovery = recovery or ConnectionRecovery()
        self._under_way = asyncio.Lock()
        self._queue: deque[_Task] = deque()
        self._open: dict[Batch[Any], _Task] = {}
        self._arrival = asyncio.Event()
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run(), name="lane")

    def fetch_all(self, sql: str, **parameters: object) -> "asyncio.Future[list[Row]]":
        """All rows of one statement, in a task of its own; ``parameters`` are its ``:names``.

        A parameter that is a function is asked for its value when the task leaves: a clock read
        earlier would be as old as the queue is long.

        Raises UnavailableError where the database can't do it now.
        """
        return self._wait(_Task(sql, parameters), None)

    def execute(self, sql: str, **parameters: object) -> "asyncio.Future[int]":
        """How many rows one statement has changed, as fetch does it otherwise.

        For each row that a statement returns its thread waits for the interpreter's lock, which a
        busy loop hardly gives away: what may change many had better return none.
        """
        return self._wait(_Task(sql, parameters, counts=True), None)

    def submit(
        self, batch: Batch[Item], key: object, item: Item, *, exclusive: bool = False
    ) -> "asyncio.Future[Row | None]":
        """Return the row of ``key`` from the next task of ``batch``; None if it has none.

        The task has not started yet when the call joins it: an answer is never older than its
        question. An ``exclusive`` call has a task of its own. Raises UnavailableError if the
        database cannot do it now.
        """
        task = None if exclusive else self._open.get(batch)
        if task is None or len(task.items) >= MAX_BATCH_SIZE or key in task.waiting:
            task = _Task(f"-- {batch.statement.name}", batch=batch)
            if not exclusive:
                self._open[batch] = task
        future = self._wait(task, key)
        task.items.append(item)
        return future

    @property
    def waiting(self) -> int:
        """Calls whose task has not left yet."""
        return sum(len(task.waiting) for task in self._queue)

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Let the task that is under way end, and none leave as long as the context lasts."""
        async with self._under_way:
            yield

    async def disconnect(self) -> None:
        """Close the connection; the next task opens another."""
        connection, self.connection = self.connection, None
        if connection is not None:
            with suppress(sqlite3.Error, ValueError):  # it may have been closed by something else
                await connection.close()

    async def close(self) -> None:
        """Make the trips that are waiting, then close the connection."""
        self._closing = True
        self._arrival.set()
        await self._task
        await self.disconnect()

    def _wait(self, task: _Task, key: object) -> asyncio.Future[Any]:
        """What will be the rows of a task, or the row of a key of a batch's."""
        if self._closing:
            raise UnavailableError("The service is stopping. Try again.")
        future: asyncio.Future[Any] = self._loop.create_future()
        if not task.waiting:
            self._queue.append(task)
            self._arrival.set()
        task.waiting[key] = future
        return future

    async def _run(self) -> None:
        while True:
            while self._queue:
                await self._collect_batch(self._queue[0])
                async with self._under_way:
                    await self._make(self._queue.popleft())
            if self._closing:
                return
            self._arrival.clear()
            await self._arrival.wait()

    async def _collect_batch(self, task: _Task) -> None:
        """Wait for as long as the loop brings other calls along.

        When a task ends, those whom it has answered come again. A task that left at once would
        carry one half of them, and always one half while the other waits.
        """
        count = turns = 0
        latest = time.perf_counter()
        while (
            task.batch is not None
            and turns < BATCH_WINDOW_TURNS
            and len(task.waiting) < MAX_BATCH_SIZE
        ):
            now = time.perf_counter()
            if len(task.waiting) > count:
                count, turns, latest = len(task.waiting), 0, now
            elif now - latest > BATCH_WINDOW_SECONDS:
                return
            turns += 1
            await asyncio.sleep(0)

    async def _make(self, task: _Task) -> None:
        if task.batch is not None and self._open.get(task.batch) is task:
            del self._open[task.batch]
        began = time.perf_counter()
        if began - task.asked > QUEUE_TIMEOUT:
            late = UnavailableError("The database has too much to do. Try again later.")
            self._recovery.faults.record(late, self.name, statement_name(task.sql))
            task.fail(late)
            return
        try:
            done = await self._done(task)
        except Exception as error:  # noqa: BLE001 - it is the callers', and the lane must live on
            self._fail(task, error)
        else:
            task.answer(done)
        finally:
            self._record(task, time.perf_counter() - began)

    async def _done(self, task: _Task) -> list[Row] | int:
        if self.connection is None or self._recovery.replaced():
            self.connection = await self._recovery.reopen()
        done = await task.make(self.connection)
        if lost := self._recovery.replaced():
            raise UnavailableError(lost)
        return done

    def _fail(self, task: _Task, error: Exception) -> None:
        self._recovery.faults.record(error, self.name, statement_name(task.sql))
        failed = [task]
        if self.connection is not None and is_closed(self.connection):
            self.connection.stop()  # its thread, which would keep the process from ending
            self.connection = None
            error = UnavailableError("The connection to the database was lost. Try again.")
            self._recovery.faults.record(error, self.name, statement_name(task.sql))
        elif blocks_queue(error):  # one after the other, the next would wait for many times as long
            failed += self._queue
            self._queue.clear()
            self._open.clear()
        for each in failed:
            each.fail(error)

    def _record(self, task: _Task, seconds: float) -> None:
        self.batch_sizes.observe(len(task.waiting))
        self.statement_seconds.observe(seconds)
        if seconds >= self._slow:
            log.warning(
                "slow statement",
                statement=statement_name(task.sql),
                lane=self.name,
                calls=len(task.waiting),
                seconds=round(seconds, 3),
            )
