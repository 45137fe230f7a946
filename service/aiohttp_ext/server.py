"""aiohttp's server and runner with our dispatch, error responses and connection limits.

They are subclasses, so that another aiohttp application in the process is untouched.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from service.aiohttp_ext.connection_limiter import KEEP_ALIVE, ConnectionLimiter
from service.aiohttp_ext.dispatch import fast_dispatch
from service.aiohttp_ext.error_responses import MakeResponse
from service.aiohttp_ext.private_names import SERVER_CLASSES, is_available
from service.aiohttp_ext.request_handler import ReadingTurns, RequestHandler

_LINGERING = 2.0  # seconds in which the rest of a rejected body is read and dropped
_READ_BUFFER = 8 * 2**10  # bytes; parsing pauses at twice as many, or at a 16th as many chunks
_OPTIONS: dict[str, Any] = {
    "access_log": None,  # it would show paths, and so share hashes
    "keepalive_timeout": KEEP_ALIVE,
    "lingering_time": _LINGERING,
    # A handler that reads a body unpacks it. aiohttp would also unpack what nobody reads, on the
    # event loop and without a pause: 64 KiB a request kept all others waiting for 0.3 s.
    "auto_decompress": False,
    # A chunk costs 1.5 us, though it holds one byte: 512 of them are parsed in a turn of the loop.
    "read_bufsize": _READ_BUFFER,
}
"""Options of each connection."""


class Server(web.Server):
    """A server whose connections are RequestHandlers within the limits of ``limiter``."""

    def __init__(
        self,
        handler: Callable[[Any], Awaitable[web.StreamResponse]],
        make_response: MakeResponse,
        limiter: ConnectionLimiter,
        *,
        request_factory: Callable[..., web.BaseRequest] | None = None,
        handler_cancellation: bool = True,
    ) -> None:
        super().__init__(
            handler, request_factory=request_factory, handler_cancellation=handler_cancellation
        )
        self._make_response = make_response
        self._limiter = limiter
        self._turns = ReadingTurns()

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        loop = asyncio.get_running_loop()
        return RequestHandler(
            self, self._make_response, self._limiter.note_unsent, self._turns, loop=loop, **_OPTIONS
        )

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take in a new connection."""
        super().connection_made(handler, transport)
        self._limiter.add(handler, transport)

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        """Forget a connection that has closed."""
        super().connection_lost(handler, exc)
        self._limiter.remove(handler)


class AppRunner(web.AppRunner):
    """Runs an application on a Server.

    A handler is cancelled if its client hangs up. ``make_response`` makes the responses to what is
    rejected before a handler has it.
    """

    def __init__(
        self,
        app: web.Application,
        make_response: MakeResponse,
        limiter: ConnectionLimiter,
        *,
        shutdown_timeout: float = 60.0,
    ) -> None:
        super().__init__(
            app, handler_cancellation=True, shutdown_timeout=shutdown_timeout, **_OPTIONS
        )
        self._make_response = make_response
        self.limiter = limiter
        is_available(SERVER_CLASSES)  # without its name aiohttp never calls the method below

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        return Server(
            fast_dispatch(self.app, plain.request_handler, self._make_response),
            self._make_response,
            self.limiter,
            request_factory=plain.request_factory,
        )
