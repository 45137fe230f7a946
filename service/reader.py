"""Look-ups, on the event loop itself: a few microseconds each, no thread and no waiting.

A look-up by key takes less than a tenth of what the way to another thread and back does. And
because nothing is awaited, what it finds is still true when the answer begins: no revocation can
be acknowledged between the two.

All look-ups of one turn of the loop share a read transaction, whose beginning and end cost more
than a look-up does. It ends before anything that happened after its beginning can be told to
anyone: an acknowledgement that is sent while the transaction is open was on its way before it
began, so that what it acknowledges is in it.
"""

import asyncio
import sqlite3
import time

import structlog

from service.histogram import SECONDS, Histogram
from service.lane import SIZES, Row, caller_error, statement_name

log = structlog.get_logger()


class Reader:
    """Runs look-ups on ``connection``, a read-only one in autocommit mode, at once.

    A turn's look-ups that take ``slow`` seconds or longer are logged by the first one's name.
    """

    waiting = 0
    """Look-ups that have not been made yet: none, ever."""

    def __init__(self, connection: sqlite3.Connection, name: str, slow: float) -> None:
        self.name = name
        self.batch_sizes = Histogram(SIZES)
        """Look-ups a turn."""
        self.trip_seconds = Histogram(SECONDS)
        """Seconds that a turn's look-ups took."""
        self._connection = connection
        self._cursor = connection.cursor()
        self._slow = slow
        self._calls = 0
        self._seconds = 0.0
        self._ending: asyncio.Handle | None = None

    def fetch(self, sql: str, **parameters: object) -> list[Row]:
        """All rows of one statement that is quickly done; ``parameters`` are its ``:names``.

        Raises UnavailableError where the database can't do it now.
        """
        began = time.perf_counter()
        try:
            if not self._connection.in_transaction:
                # First of all: what the loop does before the end was known of before the
                # transaction's first look, and so can't have been missed by it.
                self._ending = asyncio.get_running_loop().call_soon(self._end, sql)
                self._connection.execute("BEGIN")
            self._calls += 1
            return self._cursor.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise caller_error(error) from error
        finally:
            self._seconds += time.perf_counter() - began

    def close(self) -> None:
        """Close the connection."""
        if self._ending is not None:
            self._ending.cancel()
        self._connection.close()

    def _end(self, sql: str) -> None:
        calls, seconds = self._calls, self._seconds
        self._calls, self._seconds = 0, 0.0
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")
        self.batch_sizes.observe(calls)
        self.trip_seconds.observe(seconds)
        if seconds >= self._slow:
            log.warning(
                "slow statement",
                statement=statement_name(sql),
                lane=self.name,
                calls=calls,
                seconds=round(seconds, 3),
            )
