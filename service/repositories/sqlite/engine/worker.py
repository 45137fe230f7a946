"""A lane: all the traffic of one SQLite connection, in as few trips to its thread as it can.

A trip carries one statement, and in autocommit mode a statement is a transaction: it can't be
left half done, and a cancelled caller can't leave one open. Calls of a Batch that wait for their
trip at the same time share it, and so one hop to the thread, one statement and, when it writes,
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
from functools import lru_cache
from itertools import chain, repeat
from typing import Any, Generic, TypeVar

import aiosqlite
import structlog

from service.domain.errors import UnavailableError
from service.repositories.sqlite.engine.errors import Faults, caller_error, holds_up
from service.telemetry.histogram import SECONDS, Histogram

Row = tuple[Any, ...]
Parameters = Mapping[str, Any]
Item = TypeVar("Item")

BATCH_MAX = 256
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

# For how long a trip waits for another call, whichever is shorter: a turn takes microseconds when
# there is little to do, and milliseconds when there is much.
_TURNS = 3  # of the loop: to be read, to be woken, to ask
_QUIET = 0.0005  # seconds

PATIENCE = 5.0
"""Seconds that a call waits for its trip to leave; later it is refused, and its work not done."""

log = structlog.get_logger()


@dataclass(frozen=True, eq=False, slots=True)
class Batch(Generic[Item]):
    """One statement that does the work of many calls.

    ``{values}`` in it stands for a table with a row for each call. ``rows`` makes these of the
    calls' items at the moment the trip leaves, so that a clock read there is not older than the
    trip. Some rows of zeros may follow, which must do nothing: there is a statement for each power
    of two, not for each number, and to bind a null takes ten times as long. The first column of the
    result is the key by which each call finds its row; calls with equal keys never share a trip.
    """

    sql: str
    rows: Callable[[Sequence[Item]], Sequence[Sequence[object]]]

    def statement(self, items: Sequence[Item]) -> tuple[str, Sequence[object]]:
        """The statement for these items, and its parameters."""
        rows = self.rows(items)
        width, height = len(rows[0]), 1 << (len(rows) - 1).bit_length()
        parameters = list(chain.from_iterable(rows))
        parameters += repeat(0, width * (height - len(rows)))
        return _with_values(self.sql, width, height), parameters


@lru_cache(maxsize=64)
def _with_values(sql: str, width: int, height: int) -> str:
    row = f"({', '.join('?' * width)})"
    return sql.replace("{values}", f"VALUES {', '.join([row] * height)}")


class _Trip:
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
            return self.batch.statement(self.items)
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
class Rescue:
    """What a lane does about faults."""

    faults: Faults = field(default_factory=Faults)
    lost: Callable[[], str | None] = lambda: None
    """Says why what is written would be lost; None where it would not. Asked before each trip, and
    again before its answer."""
    reopen: Callable[[], Awaitable[aiosqlite.Connection]] = _no_other
    """Opens another connection where ``lost`` says something, or the one there was is closed."""


class Lane:
    """Runs statements on ``connection``, one trip at a time, in the order in which they came.

    A call is asked for at once, and gives a future: most are awaited on the spot, and a coroutine
    around each would do nothing but cost. A trip that takes ``slow`` seconds or longer is logged by
    its statement's name.
    """

    def __init__(
        self,
        connection: aiosqlite.Connection,
        name: str = "",
        slow: float = math.inf,
        rescue: Rescue | None = None,
    ) -> None:
        self.name = name
        self.batch_sizes = Histogram(SIZES)
        """Calls a trip."""
        self.trip_seconds = Histogram(SECONDS)
        """Seconds a trip, from its leaving to its answers."""
        self._slow = slow
        self.connection: aiosqlite.Connection | None = connection
        """None where it was lost or left: the next trip opens another."""
        self._rescue = rescue or Rescue()
        self._under_way = asyncio.Lock()
        self._trips: deque[_Trip] = deque()
        self._open: dict[Batch[Any], _Trip] = {}
        self._arrival = asyncio.Event()
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run(), name="lane")

    def fetch(self, sql: str, **parameters: object) -> "asyncio.Future[list[Row]]":
        """All rows of one statement, in a trip of its own; ``parameters`` are its ``:names``.

        A parameter that is a function is asked for its value when the trip leaves: a clock read
        earlier would be as old as the queue is long.

        Raises UnavailableError where the database can't do it now.
        """
        return self._wait(_Trip(sql, parameters), None)

    def change(self, sql: str, **parameters: object) -> "asyncio.Future[int]":
        """How many rows one statement has changed, as fetch does it otherwise.

        For each row that a statement returns its thread waits for the interpreter's lock, which a
        busy loop hardly gives away: what may change many had better return none.
        """
        return self._wait(_Trip(sql, parameters, counts=True), None)

    def join(self, batch: Batch[Item], key: object, item: Item) -> "asyncio.Future[Row | None]":
        """The row of ``key`` from the next trip of ``batch``; None where it has none.

        The trip has not left yet when the call joins it: an answer is never older than its
        question. Raises UnavailableError where the database can't do it now.
        """
        trip = self._open.get(batch)
        if trip is None or len(trip.items) >= BATCH_MAX or key in trip.waiting:
            trip = self._open[batch] = _Trip(batch.sql, batch=batch)
        future = self._wait(trip, key)
        trip.items.append(item)
        return future

    def go_alone(self, batch: Batch[Item], key: object, item: Item) -> "asyncio.Future[Row | None]":
        """What join does, in a trip that nobody else joins."""
        trip = _Trip(batch.sql, batch=batch)
        future = self._wait(trip, key)
        trip.items.append(item)
        return future

    @property
    def waiting(self) -> int:
        """Calls whose trip has not left yet."""
        return sum(len(trip.waiting) for trip in self._trips)

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Let the trip that is under way end, and none leave as long as the context lasts."""
        async with self._under_way:
            yield

    async def disconnect(self) -> None:
        """Close the connection; the next trip opens another."""
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

    def _wait(self, trip: _Trip, key: object) -> asyncio.Future[Any]:
        """What will be the rows of a trip, or the row of a key of a batch's."""
        if self._closing:
            raise UnavailableError("The service is stopping. Try again.")
        future: asyncio.Future[Any] = self._loop.create_future()
        if not trip.waiting:
            self._trips.append(trip)
            self._arrival.set()
        trip.waiting[key] = future
        return future

    async def _run(self) -> None:
        while True:
            while self._trips:
                await self._company(self._trips[0])
                async with self._under_way:
                    await self._make(self._trips.popleft())
            if self._closing:
                return
            self._arrival.clear()
            await self._arrival.wait()

    async def _company(self, trip: _Trip) -> None:
        """Wait for as long as the loop brings other calls along.

        When a trip ends, those whom it has answered come again. A trip that left at once would
        carry one half of them, and always one half while the other waits.
        """
        count = turns = 0
        latest = time.perf_counter()
        while trip.batch is not None and turns < _TURNS and len(trip.waiting) < BATCH_MAX:
            now = time.perf_counter()
            if len(trip.waiting) > count:
                count, turns, latest = len(trip.waiting), 0, now
            elif now - latest > _QUIET:
                return
            turns += 1
            await asyncio.sleep(0)

    async def _make(self, trip: _Trip) -> None:
        if trip.batch is not None and self._open.get(trip.batch) is trip:
            del self._open[trip.batch]
        began = time.perf_counter()
        if began - trip.asked > PATIENCE:
            late = UnavailableError("The database has too much to do. Try again later.")
            self._rescue.faults.note(late, self.name, statement_name(trip.sql))
            trip.fail(late)
            return
        try:
            done = await self._done(trip)
        except Exception as error:  # noqa: BLE001 - it is the callers', and the lane must live on
            self._fail(trip, error)
        else:
            trip.answer(done)
        finally:
            self._record(trip, time.perf_counter() - began)

    async def _done(self, trip: _Trip) -> list[Row] | int:
        if self.connection is None or self._rescue.lost():
            self.connection = await self._rescue.reopen()
        done = await trip.make(self.connection)
        if lost := self._rescue.lost():
            raise UnavailableError(lost)
        return done

    def _fail(self, trip: _Trip, error: Exception) -> None:
        self._rescue.faults.note(error, self.name, statement_name(trip.sql))
        failed = [trip]
        if self.connection is not None and is_closed(self.connection):
            self.connection.stop()  # its thread, which would keep the process from ending
            self.connection = None
            error = UnavailableError("The connection to the database was lost. Try again.")
            self._rescue.faults.note(error, self.name, statement_name(trip.sql))
        elif holds_up(error):  # one after the other, the next would wait for many times as long
            failed += self._trips
            self._trips.clear()
            self._open.clear()
        for each in failed:
            each.fail(error)

    def _record(self, trip: _Trip, seconds: float) -> None:
        self.batch_sizes.observe(len(trip.waiting))
        self.trip_seconds.observe(seconds)
        if seconds >= self._slow:
            log.warning(
                "slow statement",
                statement=statement_name(trip.sql),
                lane=self.name,
                calls=len(trip.waiting),
                seconds=round(seconds, 3),
            )


def is_closed(connection: aiosqlite.Connection | sqlite3.Connection) -> bool:
    """Whether a connection is of no use any more, whoever has closed it."""
    try:
        _ = connection.in_transaction
    except (sqlite3.ProgrammingError, ValueError):
        return True
    return False


def statement_name(sql: str) -> str:
    """What a statement is called in the log: the comment it begins with, else its first words.

    Parameters are bound, never written into a statement, so no name can hold one.
    """
    first = sql.strip().partition("\n")[0]
    return first.removeprefix("--").strip()[:60]
