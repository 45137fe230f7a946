"""Limits on connections: their number, and the time that a slow client may take.

Connections are looked at from outside, ten times in the shortest time limit, so that a request
costs nothing more. aiohttp has no hook for this and no public name for part of their state.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from service.aiohttp_ext.private_names import CONNECTION_LIMITS, is_available

if TYPE_CHECKING:
    from service.aiohttp_ext.request_handler import BodyWait

KEEP_ALIVE = 75.0
"""Seconds that a connection may be idle between two requests: longer than proxies keep theirs."""
_PROGRESS = 64 * 2**10  # bytes
_UNSENT_MAX = 256 * 2**20  # bytes
_CHECKS = 10  # in the shortest time limit, so that it is exceeded by a tenth at the most
_RESERVE = 0.1  # of all connections

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Connection:
    handler: web.RequestHandler
    transport: asyncio.Transport
    opened_at: float
    unsent: int = 0
    """Bytes of responses that the client had not taken when it last made progress."""
    progress_at: float = 0.0

    @property
    def idle_since(self) -> float:
        """When it was opened, or last had a whole response, or bytes of an awaited body."""
        answered_at = self.handler._next_keepalive_close_time - KEEP_ALIVE  # noqa: SLF001 - see PRIVATE_NAMES
        wait = self.body_wait
        return max(self.opened_at, answered_at, wait.since if wait is not None else 0)

    @property
    def body_wait(self) -> "BodyWait | None":
        """The wait of its request's handler for a body."""
        return getattr(self.handler, "body_wait", None)

    @property
    def is_expendable(self) -> bool:
        """Whether the service has nothing to do for it until its client does something."""
        handler, wait = self.handler, self.body_wait
        return (
            not handler._request_in_progress  # noqa: SLF001 - see PRIVATE_NAMES
            or handler.writing_paused
            or (wait is not None and wait.expendable)
        )

    def is_late(self, now: float, timeout: float) -> bool:
        """Whether the head of its first request has not come in time."""
        is_new = not self.handler._request_count  # noqa: SLF001 - see PRIVATE_NAMES
        return is_new and now - self.opened_at > timeout

    def is_stalled(self, now: float, timeout: float) -> bool:
        """Whether its client has taken less than 64 KiB of a response for too long."""
        unsent = self.transport.get_write_buffer_size()
        if not 0 < unsent <= self.unsent or self.unsent - unsent >= _PROGRESS:
            self.unsent, self.progress_at = unsent, now
        return now - self.progress_at > timeout and unsent > 0


class ConnectionLimiter:
    """The connections of a server whose keep-alive time is KEEP_ALIVE.

    There may be ``limit`` of them. The first head of each must come within ``header_timeout``
    seconds; later ones have what is left of the keep-alive time. A client may take less than
    64 KiB of a response that waits for it for ``send_timeout`` seconds.

    If there are too many, those are closed first that have waited for their client longest. Bodies
    of requests with a key may be awaited on all connections but a tenth.
    """

    def __init__(self, limit: int, header_timeout: float, send_timeout: float) -> None:
        self._limit = limit
        self._reserve = int(limit * _RESERVE)
        self._header_timeout = header_timeout
        self._send_timeout = send_timeout
        self._open: dict[web.RequestHandler, _Connection] = {}
        self._loop = asyncio.get_running_loop()
        self._is_available = is_available(CONNECTION_LIMITS)
        self._is_sum_due = False

    def add(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take in a new connection; it or others are closed if there are too many."""
        if not self._is_available:
            return
        if len(self._open) >= self._limit:
            self._make_room()
        connection = _Connection(handler, transport, self._loop.time())
        self._open[handler] = connection
        if len(self._open) > self._limit:
            self._close(connection, "too many")

    def remove(self, handler: web.RequestHandler) -> None:
        """Forget a connection that has closed."""
        self._open.pop(handler, None)

    async def finish(self, seconds: float) -> None:
        """Let responses be taken for at most ``seconds``, then close every connection."""
        end = self._loop.time() + seconds
        while self._loop.time() < end and any(  # noqa: ASYNC110 - none of them would set an event
            connection.handler._request_in_progress or connection.transport.get_write_buffer_size()  # noqa: SLF001 - see PRIVATE_NAMES
            for connection in self._open.values()
        ):
            await asyncio.sleep(0.01)
        for connection in list(self._open.values()):
            self._close(connection, "stopping")

    async def check(self) -> float:
        """Close the connections that are too slow; returns the seconds until the next check."""
        now = self._loop.time()
        for connection in list(self._open.values()):
            if connection.is_late(now, self._header_timeout):
                self._close(connection, "no request")
            elif connection.is_stalled(now, self._send_timeout):
                self._close(connection, "answer not taken")
        self._bound_unsent()
        return min(self._header_timeout, self._send_timeout) / _CHECKS

    def note_unsent(self) -> None:
        """Bound the sum of unsent bytes at the end of this turn: a client is slow to take some."""
        if not self._is_sum_due:
            self._is_sum_due = True
            self._loop.call_soon(self._bound_unsent)

    def _bound_unsent(self) -> None:
        """Close the connections with most unsent bytes, until all have 256 MiB at most."""
        self._is_sum_due = False
        unsent = sum(entry.transport.get_write_buffer_size() for entry in self._open.values())
        if unsent <= _UNSENT_MAX:
            return
        for connection in sorted(
            self._open.values(),
            key=lambda connection: connection.transport.get_write_buffer_size(),
            reverse=True,
        ):
            if unsent <= _UNSENT_MAX:
                break
            unsent -= connection.transport.get_write_buffer_size()
            self._close(connection, "too much not taken")

    def _make_room(self) -> None:
        """Close the longest idle connections: a tenth at once, as the search takes a while."""
        by_idle_time = sorted(self._open.values(), key=lambda connection: connection.idle_since)
        expendable = [connection for connection in by_idle_time if connection.is_expendable]
        if not expendable:
            awaiting = [connection for connection in by_idle_time if connection.body_wait]
            expendable = awaiting[: max(0, len(awaiting) - (self._limit - self._reserve))]
        for connection in expendable[: max(1, self._reserve)]:
            self._close(connection, "too many")

    def _close(self, connection: _Connection, reason: str) -> None:
        del self._open[connection.handler]
        connection.transport.abort()
        log.debug("connection ended", reason=reason)
