"""Look-ups, on the event loop itself: a few microseconds each, no thread and no waiting.

A look-up by key takes less than a tenth of what the way to another thread and back does. And
because nothing is awaited, what it finds is still true when the answer begins: no revocation can
be acknowledged between the two.

All look-ups of one turn of the loop share a read transaction, whose beginning and end cost more
than a look-up does. It ends before anything that happened after its beginning can be told to
anyone: an acknowledgement that is sent while the transaction is open was on its way before it
began, so that what it acknowledges is in it.

The same question about the same data has the same answer: what was found is kept, and good until
the epoch ends. Triggers in the database end it with every change of what a look-up may have found,
whoever makes it, so a transaction that begins by looking at the epoch knows what it may trust.
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

_READ_CACHE_GENERATION = "-- read the epoch\nSELECT number FROM epoch"
_ROW_CACHE_SIZE = 2**14  # rows
_CACHED_ROW_MAX = 2**10  # bytes, of a row's last value

log = structlog.get_logger()


class ReadConnection:
    """Runs look-ups on what ``connect`` opens, a read-only connection in autocommit mode, at once.

    A turn's look-ups that take ``slow`` seconds or longer are logged by the first one's name.
    """

    waiting = 0
    """Look-ups that have not been made yet: none, ever."""

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        name: str,
        slow: float,
        faults: ErrorMonitor,
    ) -> None:
        self.name = name
        self.batch_sizes = Histogram(SIZES)
        """Look-ups a turn."""
        self.statement_seconds = Histogram(SECONDS)
        """Seconds that a turn's look-ups took."""
        self._connect = connect
        self._connection = connect()
        self._cursor = self._connection.cursor()
        self._slow = slow
        self._faults = faults
        self._calls = 0
        self._seconds = 0.0
        self._ending: asyncio.Handle | None = None
        self._cache_generation = -1
        self._now = ""
        self._row_cache: dict[tuple[str, str], Row] = {}
        """What was found in this epoch, by statement and key."""

    def fetch_all(self, sql: str, **parameters: object) -> list[Row]:
        """All rows of one statement that is quickly done; ``parameters`` are its ``:names``.

        Raises UnavailableError where the database can't do it now.
        """
        self._calls += 1
        return self._fetch(sql, parameters)

    def get_cached(self, sql: str, key: str, now: str) -> Row | None:
        """The row that one statement finds by ``:key`` at the moment ``:now``; None where none is.

        Its first column is the moment until which the row is what it is, if the data stay as they
        are; null for always. Raises UnavailableError where the database can't do it now.
        """
        self._calls += 1
        self._begin(sql)
        if now < self._now:  # the clock was put back
            self._row_cache.clear()
        self._now = now
        row = self._row_cache.get((sql, key))
        if row is not None and (row[0] is None or now < row[0]):
            return row
        rows = self._fetch(sql, {"key": key, "now": now})
        if not rows:
            return None
        [row] = rows
        if sys.getsizeof(row[-1]) <= _CACHED_ROW_MAX:
            if len(self._row_cache) >= _ROW_CACHE_SIZE:
                self._row_cache.clear()
            self._row_cache[sql, key] = row
        return row

    def reopen(self) -> None:
        """Take another connection. Raises what ``connect`` does; the old one is closed then."""
        self._connection.close()
        self._cache_generation = -1  # it may be another file, whose epochs are others
        self._row_cache.clear()
        self._connection = self._connect()
        self._cursor = self._connection.cursor()

    def close(self) -> None:
        """Close the connection."""
        if self._ending is not None:
            self._ending.cancel()
        self._connection.close()

    def _fetch(self, sql: str, parameters: Parameters) -> list[Row]:
        self._begin(sql)
        began = time.perf_counter()
        try:
            return self._cursor.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._failure(error, sql) from error
        finally:
            self._seconds += time.perf_counter() - began

    def _begin(self, sql: str) -> None:
        """Begin the turn's transaction, unless it has begun."""
        try:
            if self._connection.in_transaction:
                return
        except sqlite3.Error as error:
            raise self._failure(error, sql) from error
        # First of all: what the loop does before the end was known of before the transaction's
        # first look, and so can't have been missed by it.
        self._ending = asyncio.get_running_loop().call_soon(self._end, sql)
        began = time.perf_counter()
        try:
            self._connection.execute("BEGIN")
            [epoch] = self._cursor.execute(_READ_CACHE_GENERATION).fetchone()
        except sqlite3.Error as error:
            self._row_cache.clear()  # the rest of the turn does not look at the epoch again
            raise self._failure(error, sql) from error
        finally:
            self._seconds += time.perf_counter() - began
        if epoch != self._cache_generation:
            self._cache_generation = epoch
            self._row_cache.clear()

    def _end(self, sql: str) -> None:
        calls, seconds = self._calls, self._seconds
        self._calls, self._seconds = 0, 0.0
        try:
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:  # left open, it would show what is now for ever
            self._connection.close()
            self._failure(error, sql)
        self.batch_sizes.observe(calls)
        self.statement_seconds.observe(seconds)
        if seconds >= self._slow:
            log.warning(
                "slow statement",
                statement=statement_name(sql),
                lane=self.name,
                calls=calls,
                seconds=round(seconds, 3),
            )

    def _failure(self, error: sqlite3.Error, sql: str) -> Exception:
        self._faults.record(error, self.name, statement_name(sql))
        if not is_closed(self._connection):
            return caller_error(error)
        gone = UnavailableError("The connection to the database was lost. Try again.")
        self._faults.record(gone, self.name, statement_name(sql))
        with suppress(sqlite3.Error, UnavailableError):  # then the next look-up tries it again
            self.reopen()
        return gone
