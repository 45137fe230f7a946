"""A session: one connection that opens again when it is lost, and what is tried again on it."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from service.domain.clock import Now
from service.repositories.postgresql.engine.connector import Connector
from service.repositories.postgresql.engine.errors import (
    AnswerLostError,
    ErrorMonitor,
    NotConnectedError,
    is_lost,
    is_refused,
    is_rolled_back,
)
from service.repositories.postgresql.engine.statements import Connection

_TRIES = 5  # of work that another transaction was in the way of
_PAUSE_SECONDS = 0.01  # before the second try, at random up to twice as long; doubled each time

_SET_CLOCK = "SELECT set_config('shared_reports.now', $1, false)"

Run = Callable[[Connection], Awaitable[Any]]


class Session:
    """One connection to the server, opened when it is needed."""

    def __init__(
        self, connector: Connector, name: str, errors: ErrorMonitor, now: Now | None = None
    ) -> None:
        """``now`` is the clock of the schema's triggers; None for the server's."""
        self._connector = connector
        self._now = now
        self._name = name
        self._errors = errors
        self._connection: Connection | None = None
        self._clock: str | None = None
        """The time that was set on the connection."""

    async def connect(self) -> Connection:
        """Return the open connection; open one if there is none. Raises NotConnectedError."""
        connection = self._connection
        if connection is None or connection.is_closed():
            try:
                connection = self._connection = await self._connector.connect(self._name)
                self._clock = None
            except Exception as error:
                self._errors.record(error, self._name, "connect")
                raise NotConnectedError from error
        return connection

    async def run(self, name: str, work: Run, *, repeats: bool) -> Any:  # noqa: ANN401 - whatever the work returns
        """Return what ``work``, called ``name`` in the log, returns.

        Raises NotConnectedError, and AnswerLostError if the connection was lost and ``work`` may
        not be repeated.
        """
        for attempt in range(_TRIES):
            connection = await self.connect()
            try:
                await self._set_clock(connection)
                return await work(connection)
            except Exception as error:
                if is_rolled_back(error) and attempt < _TRIES - 1:
                    await asyncio.sleep(_PAUSE_SECONDS * 2**attempt * random.uniform(0, 2))  # noqa: S311 - no secret
                    continue
                if not is_lost(error) and not connection.is_closed():
                    raise
                self._drop(connection)
                if isinstance(error, TimeoutError):
                    error = TimeoutError("no answer of the server")
                self._errors.record(error, self._name, name)
                if attempt == 0 and _may_repeat(error, repeats=repeats):
                    continue
                raise AnswerLostError from error
            except BaseException:  # cancelled in the middle: nobody knows what comes next on it
                self._drop(connection)
                raise
        raise AssertionError("the last attempt returns or raises")

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            with suppress(Exception):
                await connection.close(timeout=1)

    async def _set_clock(self, connection: Connection) -> None:
        if self._now is not None and (now := self._now()) != self._clock:
            await connection.execute(_SET_CLOCK, now)
            self._clock = now

    def _drop(self, connection: Connection) -> None:
        connection.terminate()
        if self._connection is connection:
            self._connection = None


def _may_repeat(error: Exception, *, repeats: bool) -> bool:
    """Return whether work that met ``error`` may be done again; what took too long would again."""
    return is_refused(error) or (repeats and not isinstance(error, TimeoutError))
