"""What is refused before a handler has it: no HTTP, broken framing, endless headers, odd targets.

aiohttp answers those by itself, in plain text that repeats what came in, and logs a traceback
with it: anyone could fill the log, and put a share hash into it. It has no hook for this, so the
methods that make the answers are replaced.
"""

from collections.abc import Callable, Mapping

import structlog
from aiohttp import web

from service.aiohttp_ext.response import Response

log = structlog.get_logger()


MakeResponse = Callable[[int, Mapping[str, str]], Response]
"""Makes the response to an error of this status with these headers."""


def install(make_response: MakeResponse) -> None:
    """Make aiohttp refuse with a response of ``make_response``, and a line in the log at most."""

    def refuse(
        _self: web.RequestHandler,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        _message: str | None = None,
    ) -> Response:
        return _refuse(make_response, request, status, exc)

    async def prepare(error: web.HTTPException, request: web.BaseRequest) -> None:
        await _prepare(make_response, error, request)

    web.RequestHandler.handle_error = refuse  # type: ignore[assignment]
    web.HTTPException.prepare = prepare  # type: ignore[assignment, method-assign]
    web.HTTPException.write_eof = Response.write_eof  # type: ignore[assignment, method-assign]


def _refuse(
    make_response: MakeResponse, request: web.BaseRequest, status: int, exc: BaseException | None
) -> Response:
    if status >= 500:  # noqa: PLR2004 - a fault of ours, past all that answers for faults
        log.error("request failed", exc_info=exc)
    else:
        log.debug("refused", status=status, error=type(exc).__name__)
    if request.writer.output_size:
        raise ConnectionError("the answer has begun and can't be taken back")
    response = make_response(status, {})
    response.force_close()
    return response


async def _prepare(
    make_response: MakeResponse, error: web.HTTPException, request: web.BaseRequest
) -> None:
    log.debug("refused", status=error.status, error=type(error).__name__)
    answer = make_response(error.status, error.headers)
    answer.force_close()  # as aiohttp will: it asks the error, which knows nothing
    await answer.prepare(request)
