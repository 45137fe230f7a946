"""A connection worker: runs all statements of one SQLite connection, in few round trips.

A task is one statement, run in the connection's thread. In autocommit mode a statement is a
transaction: no crash leaves it half done, and no cancelled caller leaves one open.

Group commit: calls of one Batch that wait at the same time share a task, and so one round trip to
the thread, one statement and, if it writes, one fsync. Batches grow under load. Without load, a
call waits for some turns of the event loop, which are empty then.
"""

import asyncio
import math
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiosqlite
import structlog

from service.concurrency.batch_window import wait_for_calls
from service.concurrency.fair_queue import FairQueue
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
from service.telemetry.tracing import Tracing

QUEUE_TIMEOUT = 5.0
"""Seconds that a call waits for its task to start. After that it fails, and nothing is done."""

CALLER_LIMIT = 50
"""Statements of one caller that wait. A page of a list waits for one at a time."""

log = structlog.get_logger()


class _Task:
    """One statement, and the futures of the calls that wait for it."""

    __slots__ = (
        "__weakref__",  # for the traces
        "batch",
        "created_at",
        "futures",
        "items",
        "name",
        "parameters",
        "sql",
        "wants",
    )

    def __init__(
        self,
        sql: str,
        parameters: Parameters | None = None,
        batch: Batch[Any] | None = None,
        *,
        wants: str = "rows",
    ) -> None:
        self.sql = sql
        self.name = batch.statement.name if batch is not None else statement_name(sql)
        self.parameters = parameters or {}
        self.batch = batch
        self.wants = wants
        """The result: ``rows``, or ``count``, the number of rows changed."""
        self.items: list[Any] = []
        self.futures: dict[Any, asyncio.Future[Any]] = {}
        """By the keys of a batch's calls; by None for a statement without a batch."""
        self.created_at = time.perf_counter()

    async def run(self, connection: aiosqlite.Connection) -> list[Row] | int:
        if self.wants == "rows":
            return await connection.execute_fetchall(*self._bind())  # type: ignore[return-value] # a list, not any iterable
        async with connection.execute(*self._bind()) as cursor:
            return cursor.rowcount

    def _bind(self) -> tuple[str, Parameters | Sequence[object]]:
        if self.batch is not None:
            return self.batch.prepare(self.items)
        return self.sql, _evaluate(self.parameters)

    def resolve(self, result: list[Row] | int) -> None:
        if self.batch is None or isinstance(result, int):
            _set_result(self.futures[None], result)
            return
        rows = {row[0]: row for row in result}
        for key, future in self.futures.items():
            _set_result(future, rows.get(key))

    def fail(self, error: Exception) -> None:
        for future in self.futures.values():
            if not future.done():
                future.set_exception(caller_error(error))


def _set_result(future: "asyncio.Future[Any]", result: object) -> None:
    if not future.done():  # a cancelled caller's work is done all the same
        future.set_result(result)


def _evaluate(parameters: Mapping[str, Any]) -> Parameters:
    return {name: value() if callable(value) else value for name, value in parameters.items()}


async def _cannot_reopen() -> aiosqlite.Connection:
    raise UnavailableError("The connection to the database was lost.")


@dataclass(frozen=True, slots=True)
class ConnectionRecovery:
    """How a worker finds out that its connection is useless, and gets another."""

    errors: ErrorMonitor = field(default_factory=ErrorMonitor)
    replaced: Callable[[], str | None] = lambda: None
    """Returns why a write would be lost, or None. Called before and after each task."""
    reopen: Callable[[], Awaitable[aiosqlite.Connection]] = _cannot_reopen
    """Returns a connection for a worker that has none or whose file was replaced."""


class ConnectionWorker:
    """Runs statements on ``connection``, one task at a time.

    Callers take turns: see FairQueue. The tasks of one caller run in the order of the calls.
    Calls return futures instead of being coroutines: most are awaited at once, and a coroutine
    around each would only cost time. At most ``caller_limit`` statements of one user wait. A task
    of ``slow`` seconds or more is logged.
    """

    def __init__(
        self,
        connection: aiosqlite.Connection,
        name: str = "",
        slow: float = math.inf,
        recovery: ConnectionRecovery | None = None,
        caller_limit: float = CALLER_LIMIT,
    ) -> None:
        self.name = name
        self._caller_limit = caller_limit
        self.batch_sizes = Histogram(SIZES)
        """Calls in each task."""
        self.statement_seconds = Histogram(SECONDS)
        """Seconds from the start of each task to its result."""
        self._slow = slow
        self.connection: aiosqlite.Connection | None = connection
        """None if it was closed or lost: the next task opens another."""
        self._recovery = recovery or ConnectionRecovery()
        self._running = asyncio.Lock()
        self._queue: FairQueue[_Task] = FairQueue()
        self._open_tasks: dict[Batch[Any], _Task] = {}
        """The queued tasks that further calls of a batch may join."""
        self._arrival = asyncio.Event()
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run(), name=f"connection worker {name}")

    def fetch_all(
        self, sql: str, *, caller: Hashable = None, **parameters: object
    ) -> "asyncio.Future[list[Row]]":
        """Return all rows of one statement; ``parameters`` are its ``:names``.

        ``caller`` is the user that the statement is for: users take turns. None is the service
        itself, a batch, or what a pool bounds: those come first, a few at a time.

        A parameter that is a function is called when the task starts: a clock read by the caller
        would be older by the time in the queue. Raises UnavailableError if the database can't do
        it now, or too many statements of the caller wait.
        """
        return self._enqueue(_Task(sql, parameters), None, caller)

    def execute(
        self, sql: str, *, caller: Hashable = None, **parameters: object
    ) -> "asyncio.Future[int]":
        """Return how many rows one statement has changed; otherwise the same as ``fetch_all``.

        The thread waits for the interpreter's lock for each row that a statement returns, and a
        busy event loop rarely releases it: statements that change many rows should return none.
        """
        return self._enqueue(_Task(sql, parameters, wants="count"), None, caller)

    def submit(
        self, batch: Batch[Item], key: object, item: Item, *, exclusive: bool = False
    ) -> "asyncio.Future[Row | None]":
        """Return the row of ``key`` from the next task of ``batch``; None if it has none.

        A call never joins a task that has started: its result is not older than the call. An
        ``exclusive`` call has a task of its own. Raises UnavailableError if the database can't do
        it now.
        """
        task = None if exclusive else self._open_tasks.get(batch)
        if task is None or len(task.items) >= MAX_BATCH_SIZE or key in task.futures:
            task = _Task("", batch=batch)
            if not exclusive:
                self._open_tasks[batch] = task
        future = self._enqueue(task, key)
        task.items.append(item)
        return future

    @property
    def waiting(self) -> int:
        """Calls whose task has not started yet."""
        return sum(len(task.futures) for task in self._queue)

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Wait for the running task, and start none while the context lasts."""
        async with self._running:
            yield

    async def disconnect(self) -> None:
        """Close the connection; the next task opens another."""
        connection, self.connection = self.connection, None
        if connection is not None:
            with suppress(sqlite3.Error, ValueError):  # something else may have closed it
                await connection.close()

    def trace(self, tracing: Tracing) -> None:
        """Make spans of the statements that requests wait for, from now on."""
        self._enqueue, self._run_task = tracing.batches(  # type: ignore[method-assign] # wrapped in place, so that nothing is paid without traces
            self.name, self._enqueue, self._run_task
        )

    async def close(self) -> None:
        """Run the queued tasks, then close the connection. New calls raise UnavailableError."""
        self._closing = True
        self._arrival.set()
        await self._task
        await self.disconnect()

    def _enqueue(self, task: _Task, key: object, caller: Hashable = None) -> asyncio.Future[Any]:
        if self._closing:
            raise UnavailableError("The service is stopping. Try again.")
        if caller is not None and self._queue.count(caller) >= self._caller_limit:
            raise UnavailableError("Too many of your calls wait for the database. Try again.")
        future: asyncio.Future[Any] = self._loop.create_future()
        if not task.futures:
            self._queue.append(task, caller)
            self._arrival.set()
        task.futures[key] = future
        return future

    async def _run(self) -> None:
        while True:
            while self._queue:
                caller, task = self._queue.peek()
                if task.batch is not None:
                    await wait_for_calls(task.futures, task.futures, MAX_BATCH_SIZE)
                async with self._running:
                    await self._run_task(self._queue.take(caller))
            if self._closing:
                return
            self._arrival.clear()
            await self._arrival.wait()

    async def _run_task(self, task: _Task) -> None:
        if task.batch is not None and self._open_tasks.get(task.batch) is task:
            del self._open_tasks[task.batch]
        start = time.perf_counter()
        if start - task.created_at > QUEUE_TIMEOUT:
            self._recovery.errors.record_late(self.name, task.name)
            task.fail(UnavailableError("The database has too much to do. Try again later."))
            return
        try:
            result = await self._run_on_current_file(task)
        except Exception as error:  # noqa: BLE001 - the callers get it, and the worker goes on
            self._fail(task, error)
        else:
            task.resolve(result)
        finally:
            self._record(task, time.perf_counter() - start)

    async def _run_on_current_file(self, task: _Task) -> list[Row] | int:
        if self.connection is None or self._recovery.replaced():
            self.connection = await self._recovery.reopen()
        result = await task.run(self.connection)
        if reason := self._recovery.replaced():
            raise UnavailableError(reason)
        return result

    def _fail(self, task: _Task, error: Exception) -> None:
        self._recovery.errors.record(error, self.name, task.name)
        failed = [task]
        if self.connection is not None and is_closed(self.connection):
            self.connection.stop()  # its thread, which would keep the process from exiting
            self.connection = None
            error = UnavailableError("The connection to the database was lost. Try again.")
            self._recovery.errors.record(error, self.name, task.name)
        elif blocks_queue(error):  # each of them would wait for 5 s in its turn
            failed += self._queue
            self._queue.clear()
            self._open_tasks.clear()
        for failed_task in failed:
            failed_task.fail(error)

    def _record(self, task: _Task, seconds: float) -> None:
        self.batch_sizes.observe(len(task.futures))
        self.statement_seconds.observe(seconds)
        if seconds >= self._slow:
            log.warning(
                "slow statement",
                statement=task.name,
                connection=self.name,
                batch_size=len(task.futures),
                seconds=round(seconds, 3),
            )
