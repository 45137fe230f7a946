"""The protocol of one connection, and what a handler says of the body that it waits for."""

import asyncio
from typing import Any, Self

from aiohttp import web

from service.aiohttp_ext.error_responses import MakeResponse, response_to_exception
from service.aiohttp_ext.response import Response


class RequestHandler(web.RequestHandler):
    """aiohttp's protocol with our error responses, and the state of its request's body."""

    __slots__ = ("_make_response", "body_wait")

    def __init__(self, manager: web.Server, make_response: MakeResponse, **options: Any) -> None:
        super().__init__(manager, **options)
        self._make_response = make_response
        self.body_wait: BodyWait | None = None
        """Set while a handler waits for the rest of its request's body."""

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
