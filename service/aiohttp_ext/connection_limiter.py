"""Connections: never too many, and none that is slow for ever.

They are looked at from outside, now and then, so that a request costs nothing more. aiohttp has
no hook for this and no public word for some of what is looked at, so this module knows a few of
its private ones.
"""

import asyncio
from dataclasses import dataclass

import structlog
from aiohttp import web

KEEP_ALIVE = 75.0
"""Seconds that a connection may be idle between two requests: longer than proxies keep theirs."""
_PROGRESS = 64 * 2**10  # bytes
_UNSENT_MAX = 256 * 2**20  # bytes
_LOOKS = 10  # in the time that is allowed, so that it is exceeded by a tenth at the most
_ROOM = 0.1  # of all connections

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Connection:
    handler: web.RequestHandler
    transport: asyncio.Transport
    made: float
    unsent: int = 0
    """Bytes of answers that the client had not taken when it last made progress."""
    progress: float = 0.0

    @property
    def idle_since(self) -> float:
        """When it was made, or last had a whole answer."""
        return max(self.made, self.handler._next_keepalive_close_time - KEEP_ALIVE)  # noqa: SLF001

    @property
    def is_expendable(self) -> bool:
        """Whether nothing is being done for it but waiting for its client."""
        handler = self.handler
        return not handler._request_in_progress or handler.writing_paused  # noqa: SLF001

    def is_late(self, now: float, patience: float) -> bool:
        """Whether the head of its first request has not come in time."""
        is_new = not self.handler._request_count  # noqa: SLF001
        return is_new and now - self.made > patience

    def is_stalled(self, now: float, patience: float) -> bool:
        """Whether its client has hardly taken anything of an answer for too long."""
        unsent = self.transport.get_write_buffer_size()
        if not 0 < unsent <= self.unsent or self.unsent - unsent >= _PROGRESS:
            self.unsent, self.progress = unsent, now
        return now - self.progress > patience and unsent > 0


class Connections:
    """The connections of ``server``, which has been made with a keep-alive time of KEEP_ALIVE.

    There may be ``most`` of them. The first head of each has ``head_timeout`` seconds to come in;
    later ones have what is left of the keep-alive time. For ``send_timeout`` seconds at a time a
    client may take less than 64 KiB of what there is for it.
    """

    def __init__(
        self, server: web.Server, most: int, head_timeout: float, send_timeout: float
    ) -> None:
        self._server = server
        self._most = most
        self._head_timeout = head_timeout
        self._send_timeout = send_timeout
        self._open: dict[web.RequestHandler, _Connection] = {}
        self._loop = asyncio.get_running_loop()
        server.connection_made = self._made  # type: ignore[method-assign]
        server.connection_lost = self._lost  # type: ignore[method-assign]

    async def finish(self, patience: float) -> None:
        """Let answers be taken for at most ``patience`` seconds, then end every connection."""
        end = self._loop.time() + patience
        while self._loop.time() < end and any(  # noqa: ASYNC110 - none of them would set an event
            each.handler._request_in_progress or each.transport.get_write_buffer_size()  # noqa: SLF001
            for each in self._open.values()
        ):
            await asyncio.sleep(0.01)
        for each in list(self._open.values()):
            self._end(each, "stopping")

    def _made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        web.Server.connection_made(self._server, handler, transport)
        if len(self._open) >= self._most:
            self._make_room()
        connection = _Connection(handler, transport, self._loop.time())
        self._open[handler] = connection
        if len(self._open) > self._most:
            self._end(connection, "too many")

    def _lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        web.Server.connection_lost(self._server, handler, exc)
        self._open.pop(handler, None)

    def _make_room(self) -> None:
        """End those that have been expendable longest: a few at once, as looking takes a while."""
        expendable = [each for each in self._open.values() if each.is_expendable]
        expendable.sort(key=lambda each: each.idle_since)
        for each in expendable[: max(1, int(self._most * _ROOM))]:
            self._end(each, "too many")

    async def check(self) -> float:
        """Close the connections that are too slow; returns the seconds until the next check."""
        now = self._loop.time()
        unsent = 0
        for each in sorted(
            self._open.values(), key=lambda each: each.transport.get_write_buffer_size()
        ):
            unsent += each.transport.get_write_buffer_size()
            if each.is_late(now, self._head_timeout):
                self._end(each, "no request")
            elif each.is_stalled(now, self._send_timeout):
                self._end(each, "answer not taken")
            elif unsent > _UNSENT_MAX:
                self._end(each, "too much not taken")
        return min(self._head_timeout, self._send_timeout) / _LOOKS

    def _end(self, connection: _Connection, reason: str) -> None:
        del self._open[connection.handler]
        connection.transport.abort()
        log.debug("connection ended", reason=reason)
