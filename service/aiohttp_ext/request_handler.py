"""The protocol of one connection, and what a handler says of the body that it waits for."""

import asyncio
from collections.abc import Callable
from typing import Any, Self

from aiohttp import web

from service.aiohttp_ext.error_responses import MakeResponse, response_to_exception
from service.aiohttp_ext.response import Response


class ReadingTurns:
    """The connections of a server that have more of a body to parse, each in its turn.

    aiohttp parses on as soon as the body's reader asks, within one turn of the event loop: a burst
    of 2 MiB of one-byte chunks held others up for 198 ms. Here one paused body goes on in a turn.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[RequestHandler, None] = {}

    def add(self, handler: "RequestHandler") -> None:
        """Let the connection go on after those that wait already."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
        self._waiting[handler] = None

    def remove(self, handler: "RequestHandler") -> None:
        """Forget a connection that waits no more."""
        self._waiting.pop(handler, None)

    def _next(self) -> None:
        if not self._waiting:
            return
        handler = next(iter(self._waiting))
        del self._waiting[handler]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
        handler.continue_reading()


class RequestHandler(web.RequestHandler):
    """aiohttp's protocol with our error responses, and the state of its request's body."""

    __slots__ = ("_is_paused", "_make_response", "_note_unsent", "_turns", "body_wait", "known_key")

    def __init__(
        self,
        manager: web.Server,
        make_response: MakeResponse,
        note_unsent: Callable[[], None],
        turns: ReadingTurns,
        **options: Any,
    ) -> None:
        super().__init__(manager, **options)
        self._make_response = make_response
        self._note_unsent = note_unsent
        self._turns = turns
        self._is_paused = False
        self.known_key: tuple[str, str] | None = None
        """The Authorization header of the latest request with a valid API key, and its user."""
        self.body_wait: BodyWait | None = None
        """Set while a handler waits for the rest of its request's body."""

    def pause_writing(self) -> None:
        """Note that the client has not taken all of a response at once."""
        super().pause_writing()
        self._note_unsent()

    def pause_reading(self) -> None:
        """Stop parsing: the body's reader has enough bytes or chunks that it has not taken."""
        self._turns.remove(self)
        self._is_paused = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's
        """Go on if parsing was paused: in a turn of its own, as much may be left to parse.

        aiohttp calls this for each chunk that is read and at the end of each body, and calls the
        parser again each time: 3 us of a create.
        """
        if not self._is_paused:
            return
        if resume_parser:
            self._turns.add(self)
        else:  # at the end of a body; pipelined requests may be left to parse at the next call
            super().resume_reading(resume_parser)

    def continue_reading(self) -> None:
        """Parse on, up to the next pause."""
        self._is_paused = False
        super().resume_reading()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._turns.remove(self)
        super().connection_lost(exc)

    def handle_error(  # type: ignore[override] # ours has all that aiohttp asks of a response
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it repeats the input
    ) -> Response:
        """Return the response to a request that no handler has answered."""
        return response_to_exception(self._make_response, request, status, exc)


class BodyWait:
    """The wait for the rest of a request's body, as a context.

    ``expendable`` connections are closed first if there are too many: a stranger's body is worth
    less than a newcomer.
    """

    __slots__ = ("_protocol", "expendable", "since")

    def __init__(self, request: web.Request, *, expendable: bool) -> None:
        self._protocol = request.protocol
        self.expendable = expendable
        self.since = asyncio.get_running_loop().time()
        """When the last bytes came, in the loop's time."""

    def progress(self) -> None:
        """Note that bytes have come."""
        self.since = asyncio.get_running_loop().time()

    def __enter__(self) -> Self:
        if isinstance(self._protocol, RequestHandler):
            self._protocol.body_wait = self
        return self

    def __exit__(self, *_: object) -> None:
        if isinstance(self._protocol, RequestHandler):
            self._protocol.body_wait = None
