"""Error responses for requests that aiohttp rejects before a handler has them.

These are malformed HTTP, bad framing, oversized headers, invalid targets and expectations. aiohttp
answers them in plain text that repeats the input, and logs a traceback for each: any client could
fill the log and put a share hash into it.
"""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import structlog
from aiohttp import web

from service.aiohttp_ext.response import Response

log = structlog.get_logger()


MakeResponse = Callable[[int, Mapping[str, str]], Response]
"""Makes the response to an error of this status with these headers."""


def error_response(
    make_response: MakeResponse,
    status: int,
    reason: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the response to a request that the client got wrong; it closes the connection."""
    log.debug("request rejected", status=status, reason=reason)
    response = make_response(status, headers or {})
    response.force_close()
    return response


def response_to_exception(
    make_response: MakeResponse, request: web.BaseRequest, status: int, exc: BaseException | None
) -> Response:
    """Return the response to an exception outside of every handler; it closes the connection.

    Raises ConnectionError if a response has begun: it cannot be taken back.
    """
    if request.writer.output_size:
        raise ConnectionError("the response has begun and cannot be taken back")
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return error_response(make_response, status, type(exc).__name__)
    log.error("request failed", exc_info=exc)
    response = make_response(status, {})
    response.force_close()
    return response


def catch_http_exceptions(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]], make_response: MakeResponse
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return ``handler`` with a response of ``make_response`` for each HTTPException it raises."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            response: object = error_response(
                make_response, error.status, type(error).__name__, error.headers
            )
            return response  # type: ignore[return-value] # it has all that aiohttp asks of one

    return handle
