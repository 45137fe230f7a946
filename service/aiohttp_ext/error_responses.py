"""What is refused before a handler has it: no HTTP, broken framing, endless headers, odd targets.

aiohttp answers those by itself, in plain text that repeats what came in, and logs a traceback
with it: anyone could fill the log, and put a share hash into it. It has no hook for this, so the
methods that make the answers are replaced.
"""

import structlog
from aiohttp import web

from service.aiohttp_ext.response import Response
from service.web import problems

log = structlog.get_logger()


def install() -> None:
    """Make aiohttp refuse with a problem document, and a line in the log at most."""
    web.RequestHandler.handle_error = _refuse  # type: ignore[assignment]
    web.HTTPException.prepare = _prepare  # type: ignore[assignment, method-assign]
    web.HTTPException.write_eof = Response.write_eof  # type: ignore[assignment, method-assign]


def _refuse(
    _self: web.RequestHandler,
    request: web.BaseRequest,
    status: int = 500,
    exc: BaseException | None = None,
    _message: str | None = None,
) -> Response:
    if status >= 500:  # noqa: PLR2004 - a fault of ours, past all that answers for faults
        log.error("request failed", exc_info=exc)
    else:
        log.debug("refused", status=status, error=type(exc).__name__)
    if request.writer.output_size:
        raise ConnectionError("the answer has begun and can't be taken back")
    response = problems.from_status(status)
    response.force_close()
    return response


async def _prepare(error: web.HTTPException, request: web.BaseRequest) -> None:
    log.debug("refused", status=error.status, error=type(error).__name__)
    answer = problems.from_status(error.status, error.headers)
    answer.force_close()  # as aiohttp will: it asks the error, which knows nothing
    await answer.prepare(request)
