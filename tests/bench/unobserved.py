"""The service without its logs and its metrics, to measure what they cost.

What is left of the middleware is the request's id, the shape of errors, and the count of what is
in flight, by which a stop knows when it may go on.
"""

from aiohttp import web

from service import app, middleware
from service.cli import main
from service.context import LIFECYCLE
from service.histogram import Histogram
from service.routing import Handler


@web.middleware
async def surround(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request an id, and turn every error into a problem document."""
    lifecycle = request.app[LIFECYCLE]
    fields = middleware._fields(request)
    lifecycle.begin()
    try:
        response = await middleware._answer(request, handler)
        response.headers["X-Request-ID"] = fields["request_id"]
    finally:
        lifecycle.end()
    return response


def observe(*_: object) -> None:
    """Forget the value."""


if __name__ == "__main__":
    app.surround = surround  # type: ignore[attr-defined]
    Histogram.observe = observe  # type: ignore[method-assign, assignment]
    main()
