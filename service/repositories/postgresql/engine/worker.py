"""A worker: runs statements on one or more connections, in few round trips.

Calls of one Batch that wait at the same time share a statement, and so a round trip and, if it
writes, one flush of the server's log. Batches grow under load. Without load, a call waits for some
turns of the event loop, which are empty then.

A call never joins a statement that was sent: what is read is not older than the call, so a request
that begins after another instance has acknowledged a revocation sees it.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

import structlog

from service.concurrency.batch_window import wait_for_calls
from service.concurrency.fair_queue import FairQueue
from service.domain.errors import UnavailableError
from service.repositories.postgresql.engine.errors import (
    ErrorMonitor,
    NotConnectedError,
    caller_error,
)
from service.repositories.postgresql.engine.session import Session
from service.repositories.postgresql.engine.statements import (
    MAX_BATCH_SIZE,
    SIZES,
    Batch,
    Connection,
    Item,
    Row,
    Statement,
)
from service.telemetry.histogram import SECONDS, Histogram
from service.telemetry.tracing import Tracing

QUEUE_TIMEOUT = 5.0
"""Seconds that a call waits for its statement to be sent. After that it fails; nothing is done."""

CALLER_LIMIT = 50
"""Statements of one caller that wait. A page of a list waits for one at a time."""

log = structlog.get_logger()

Run = Callable[[Connection], Awaitable[Any]]


class _Task:
    """One piece of work on a connection, and the calls that wait for it."""

    __slots__ = (
        "__weakref__",  # for the traces
        "batch",
        "created_at",
        "items",
        "name",
        "repeats",
        "run",
        "waiters",
    )

    def __init__(self, name: str, run: Run, *, repeats: bool, batch: Batch[Any] | None) -> None:
        self.name = name
        self.run = run
        self.repeats = repeats
        self.batch = batch
        self.items: dict[Hashable, Any] = {}
        self.waiters: list[tuple[Hashable, asyncio.Future[Any]]] = []
        self.created_at = time.perf_counter()

    def resolve(self, result: Any) -> None:  # noqa: ANN401 - whatever the work returns
        if self.batch is None:
            for _, future in self.waiters:
                _set_result(future, result)
            return
        rows = {row[0]: row for row in result}
        for key, future in self.waiters:
            _set_result(future, rows.get(key))

    def fail(self, error: Exception) -> None:
        for _, future in self.waiters:
            if not future.done():
                future.set_exception(caller_error(error))


def _set_result(future: "asyncio.Future[Any]", result: object) -> None:
    if not future.done():  # a cancelled caller's work is done all the same
        future.set_result(result)


class Worker:
    """Runs work on ``sessions``, each of which is a connection that opens again if it is lost.

    Callers take turns: see FairQueue. Calls return futures instead of being coroutines: most are
    awaited at once, and a coroutine around each would only cost time. A statement of ``slow``
    seconds or more is logged.
    """

    def __init__(
        self, name: str, sessions: list[Session], errors: ErrorMonitor, slow: float = math.inf
    ) -> None:
        self.name = name
        self.batch_sizes = Histogram(SIZES)
        """Calls in each statement."""
        self.statement_seconds = Histogram(SECONDS)
        """Seconds from the start of each statement to its result."""
        self._errors = errors
        self._slow = slow
        self._queue: FairQueue[_Task] = FairQueue()
        self._open_tasks: dict[Batch[Any], _Task] = {}
        """The queued tasks that further calls of a batch may join."""
        self._idle: list[asyncio.Future[None]] = []
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._sessions = sessions
        self._tasks = [
            asyncio.create_task(self._serve(session), name=f"connection worker {name}")
            for session in sessions
        ]

    def fetch_all(
        self, statement: Statement, *, caller: Hashable = None, **parameters: object
    ) -> "asyncio.Future[list[Row]]":
        """Return all rows of one statement; ``parameters`` are its ``:names``.

        ``caller`` is the user that a read is for, or None for a statement of the service itself,
        or one that a pool bounds: those come first. At most CALLER_LIMIT of one user wait.

        A parameter that is a function is called when the statement is sent. Raises
        UnavailableError if the database can't do it now (AnswerLostError if it may have been done),
        or too many statements of the caller wait, and DuplicateError.
        """

        async def run(connection: Connection) -> list[Row]:
            rows: list[Row] = await connection.fetch(statement.text, *statement.bind(parameters))
            return rows

        return self.run(statement.name, run, repeats=statement.repeats, caller=caller)

    def execute(self, statement: Statement, **parameters: object) -> "asyncio.Future[int]":
        """Return how many rows one statement has changed; otherwise the same as ``fetch_all``."""

        async def run(connection: Connection) -> int:
            status = await connection.execute(statement.text, *statement.bind(parameters))
            return int(status.rpartition(" ")[2])

        return self.run(statement.name, run, repeats=statement.repeats)

    def run(
        self, name: str, work: Run, *, repeats: bool, caller: Hashable = None
    ) -> "asyncio.Future[Any]":
        """Return what ``work`` returns; it has a connection for itself, and may open a transaction.

        ``work`` is called again after a serialization failure or a deadlock, which has rolled back
        what it did, and if it ``repeats`` also after the connection was lost.
        """
        if caller is not None and self._queue.count(caller) >= CALLER_LIMIT:
            raise UnavailableError("Too many of your calls wait for the database. Try again.")
        task = _Task(name, work, repeats=repeats, batch=None)
        return self._enqueue(task, None, caller)

    def submit(
        self, batch: Batch[Item], key: Hashable, item: Item, *, exclusive: bool = False
    ) -> "asyncio.Future[Row | None]":
        """Return the row of ``key`` from the next statement of ``batch``; None if it has none.

        An ``exclusive`` call has a statement of its own. Raises what ``fetch_all`` does.
        """
        task = None if exclusive else self._open_tasks.get(batch)
        if (
            task is None
            or len(task.items) >= MAX_BATCH_SIZE
            or (key in task.items and not batch.merges)
        ):
            task = self._batch_task(batch)
            if not exclusive:
                self._open_tasks[batch] = task
        task.items.setdefault(key, item)
        return self._enqueue(task, key)

    def _batch_task(self, batch: Batch[Any]) -> _Task:
        statement = batch.statement

        async def run(connection: Connection) -> list[Row]:
            parameters = batch.make_parameters(list(task.items.values()))
            rows: list[Row] = await connection.fetch(statement.text, *statement.bind(parameters))
            return rows

        task = _Task(statement.name, run, repeats=statement.repeats, batch=batch)  # run needs it
        return task

    @property
    def waiting(self) -> int:
        """Calls whose statement has not been sent yet."""
        return sum(len(task.waiters) for task in self._queue)

    def trace(self, tracing: Tracing) -> None:
        """Make spans of the statements that requests wait for, from now on."""
        self._enqueue, self._run_task = tracing.batches(  # type: ignore[method-assign] # wrapped in place, so that nothing is paid without traces
            self.name, self._enqueue, self._run_task
        )

    async def close(self) -> None:
        """Run the queued tasks, then close the connections. New calls raise UnavailableError."""
        self._closing = True
        self._wake(len(self._idle))
        await asyncio.gather(*self._tasks)
        for session in self._sessions:
            await session.close()

    def _enqueue(self, task: _Task, key: Hashable, caller: Hashable = None) -> asyncio.Future[Any]:
        if self._closing:
            raise UnavailableError("The service is stopping. Try again.")
        future: asyncio.Future[Any] = self._loop.create_future()
        if not task.waiters:
            self._queue.append(task, caller)
            self._wake(1)
        task.waiters.append((key, future))
        return future

    def _wake(self, count: int) -> None:
        for _ in range(min(count, len(self._idle))):
            idle = self._idle.pop()
            if not idle.done():
                idle.set_result(None)

    async def _serve(self, session: Session) -> None:
        while True:
            while self._queue:
                caller, task = self._queue.peek()
                if task.batch is not None:
                    await wait_for_calls(task.waiters, task.items, MAX_BATCH_SIZE)
                    if not self._queue:  # another session was faster
                        break
                    caller, _ = self._queue.peek()
                await self._run_task(session, self._queue.take(caller))
            if self._closing:
                return
            idle: asyncio.Future[None] = self._loop.create_future()
            self._idle.append(idle)
            await idle

    async def _run_task(self, session: Session, task: _Task) -> None:
        if task.batch is not None and self._open_tasks.get(task.batch) is task:
            del self._open_tasks[task.batch]
        start = time.perf_counter()
        if start - task.created_at > QUEUE_TIMEOUT:
            self._errors.record_late(self.name, task.name)
            task.fail(UnavailableError("The database has too much to do. Try again later."))
            return
        try:
            result = await session.run(task.name, task.run, repeats=task.repeats)
        except Exception as error:  # noqa: BLE001 - the callers get it, and the worker goes on
            self._fail(task, error)
        else:
            task.resolve(result)
        finally:
            self._record(task, time.perf_counter() - start)

    def _fail(self, task: _Task, error: Exception) -> None:
        self._errors.record(error, self.name, task.name)
        failed = [task]
        if isinstance(error, NotConnectedError):  # each of them would wait as long in its turn
            failed += self._queue
            self._queue.clear()
            self._open_tasks.clear()
        for failed_task in failed:
            failed_task.fail(error)

    def _record(self, task: _Task, seconds: float) -> None:
        self.batch_sizes.observe(len(task.waiters))
        self.statement_seconds.observe(seconds)
        if seconds >= self._slow:
            log.warning(
                "slow statement",
                statement=task.name,
                connection=self.name,
                batch_size=len(task.waiters),
                seconds=round(seconds, 3),
            )
