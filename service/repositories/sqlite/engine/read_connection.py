"""Look-ups on the event loop: a few microseconds each, without a thread and without waiting.

A look-up by key takes less than a tenth of a round trip to another thread. And because nothing is
awaited, its result is still true when the response begins: this process can't acknowledge a
revocation in between.

All look-ups of one turn of the event loop share a read transaction, because BEGIN and COMMIT cost
more than a look-up. The transaction ends before anybody can learn of a change made after its
beginning:

- A change made by this process is acknowledged in a later turn at the earliest.
- A change made by another process is acknowledged SNAPSHOT_SECONDS after its commit at the
  earliest (see ``open_database``), and a look-up in a transaction that is older begins a new one.
  So a turn that takes long, for whatever reason, does not go on answering from its beginning.

Rows are cached until the cache generation changes. Triggers in the database increment it (the table
``cache_generation``) on every change that can alter a cached row, by any process. Each
transaction begins by comparing it.
"""

import asyncio
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from service.domain.errors import UnavailableError
from service.repositories.sqlite.engine.errors import ErrorMonitor, caller_error
from service.repositories.sqlite.engine.statements import (
    SIZES,
    Parameters,
    Row,
    is_closed,
    statement_name,
)
from service.telemetry.histogram import SECONDS, Histogram
from service.telemetry.tracing import Tracing

SNAPSHOT_SECONDS = 0.005
"""Age from which on a read transaction is replaced by a new one at the next look-up."""

_READ_CACHE_GENERATION = "-- read the cache generation\nSELECT number FROM cache_generation"
_ROW_CACHE_SIZE = 2**14  # rows
_CACHED_VALUE_BYTES = 2**10  # of a row's last value; longer ones are not cached

log = structlog.get_logger()


class ReadConnection:
    """Runs look-ups at once, on a read-only connection in autocommit mode that ``connect`` opens.

    Look-ups of one turn that take ``slow`` seconds or more are logged by the name of the first.
    """

    waiting = 0
    """Look-ups that wait: always none."""

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        name: str,
        slow: float,
        errors: ErrorMonitor,
    ) -> None:
        self.name = name
        self.batch_sizes = Histogram(SIZES)
        """Look-ups in each turn."""
        self.statement_seconds = Histogram(SECONDS)
        """Seconds that the look-ups of each turn took."""
        self._connect = connect
        self._connection = connect()
        self._cursor = self._connection.cursor()
        self._slow = slow
        self._errors = errors
        self._calls = 0
        self._seconds = 0.0
        self._turn_end: asyncio.Handle | None = None
        self._snapshot_at = 0.0
        """When the open transaction began, on the clock of ``time.perf_counter``."""
        self._cache_generation = -1
        self._now = ""
        self._row_cache: dict[tuple[str, str], Row] = {}
        """Rows of this cache generation, by statement and key."""

    def fetch_all(self, sql: str, **parameters: object) -> list[Row]:
        """Return all rows of one fast statement; ``parameters`` are its ``:names``.

        Raises UnavailableError if the database can't do it now.
        """
        self._calls += 1
        self._begin(sql)
        return self._fetch(sql, parameters)

    def get_cached(
        self, sql: str, key: str, now: str, map_row: Callable[[Row], Row] | None = None
    ) -> Row | None:
        """Return the row that a statement finds by ``:key`` at the moment ``:now``, or None.

        The row is cached and returned as ``map_row`` makes it; a statement has one such function.
        The row's first column is the moment from which on time alone changes the row; NULL for
        never. Raises UnavailableError if the database can't do it now.
        """
        self._calls += 1
        self._begin(sql)
        if now < self._now:  # the clock was set back
            self._row_cache.clear()
        self._now = now
        row = self._row_cache.get((sql, key))
        if row is not None and (row[0] is None or now < row[0]):
            return row
        rows = self._fetch(sql, {"key": key, "now": now})
        if not rows:
            return None
        row = rows[0] if map_row is None else map_row(rows[0])
        if sys.getsizeof(row[-1]) <= _CACHED_VALUE_BYTES:
            if len(self._row_cache) >= _ROW_CACHE_SIZE:
                self._row_cache.clear()
            self._row_cache[sql, key] = row
        return row

    def reopen(self) -> None:
        """Replace the connection. Raises what ``connect`` raises; the old one is closed then."""
        self._connection.close()
        self._cache_generation = -1  # the new connection may be to another file
        self._row_cache.clear()
        self._connection = self._connect()
        self._cursor = self._connection.cursor()

    def trace(self, tracing: Tracing) -> None:
        """Make spans of the look-ups of requests, from now on."""
        self.fetch_all = tracing.look_up(self.name, self.fetch_all)  # type: ignore[method-assign] # wrapped in place, so that nothing is paid without traces
        self.get_cached = tracing.look_up(self.name, self.get_cached)  # type: ignore[method-assign] # the same

    def close(self) -> None:
        """Close the connection."""
        if self._turn_end is not None:
            self._turn_end.cancel()
            self._turn_end = None
        self._connection.close()

    def _fetch(self, sql: str, parameters: Parameters) -> list[Row]:
        start = time.perf_counter()
        try:
            return self._cursor.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._failure(error, sql) from error
        finally:
            self._seconds += time.perf_counter() - start

    def _begin(self, sql: str) -> None:
        """Begin a transaction unless a recent one is open."""
        start = time.perf_counter()
        try:
            is_open = self._connection.in_transaction
        except sqlite3.Error as error:
            raise self._failure(error, sql) from error
        if is_open:
            if start - self._snapshot_at < SNAPSHOT_SECONDS:
                return
            self._commit(sql)
        # Schedule the end before the first read: what the loop does before that end was decided
        # before the snapshot, and so the snapshot contains it.
        if self._turn_end is None:
            self._turn_end = asyncio.get_running_loop().call_soon(self._end_turn, sql)
        try:
            self._connection.execute("BEGIN")
            [generation] = self._cursor.execute(_READ_CACHE_GENERATION).fetchone()
        except sqlite3.Error as error:
            self._row_cache.clear()  # the rest of the turn does not read the generation again
            raise self._failure(error, sql) from error
        finally:
            self._seconds += time.perf_counter() - start
        self._snapshot_at = start
        if generation != self._cache_generation:
            self._cache_generation = generation
            self._row_cache.clear()

    def _commit(self, sql: str) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:  # left open, it would show the same snapshot for ever
            self._connection.close()
            self._failure(error, sql)

    def _end_turn(self, sql: str) -> None:
        self._turn_end = None
        calls, seconds = self._calls, self._seconds
        self._calls, self._seconds = 0, 0.0
        self._commit(sql)
        self.batch_sizes.observe(calls)
        self.statement_seconds.observe(seconds)
        if seconds >= self._slow:
            log.warning(
                "slow statement",
                statement=statement_name(sql),
                connection=self.name,
                batch_size=calls,
                seconds=round(seconds, 3),
            )

    def _failure(self, error: sqlite3.Error, sql: str) -> Exception:
        self._errors.record(error, self.name, statement_name(sql))
        if not is_closed(self._connection):
            return caller_error(error)
        lost = UnavailableError("The connection to the database was lost. Try again.")
        self._errors.record(lost, self.name, statement_name(sql))
        with suppress(sqlite3.Error, UnavailableError):  # the next look-up tries again
            self.reopen()
        return lost
