"""CORS: pages of other origins may read responses, as far as the configuration allows.

The rules are those of https://fetch.spec.whatwg.org/#http-cors-protocol. A call is authorized by a
header that its page sets, never by a cookie, so no response allows credentials. The routes for
operators are left out: no page needs them.
"""

from collections.abc import Callable, Iterable

from aiohttp import hdrs, web

from service.domain.setting_values import CorsOrigins
from service.web.routing import Route

EXPOSED = (
    "Link",
    "Location",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "X-Request-ID",
    "X-Share-Token",
    "Idempotency-Replayed",
    "Ignored-Fields",
)
"""The response headers that a script may read beside those that it always may."""
ALLOWED = (
    "Authorization",
    "Content-Type",
    "Content-Encoding",
    "Idempotency-Key",
    "X-Share-Token",
    "X-Request-ID",
    "traceparent",
)
"""The request headers that a script may set."""
_MAX_AGE = 7200  # seconds that a browser keeps a preflight; none keeps it for longer
_OPERATIONS = "Operations"

CorsLines = Callable[[web.BaseRequest], str]
"""Returns the CORS header lines of the response to a request."""

_EXPOSE = f"Access-Control-Expose-Headers: {', '.join(EXPOSED)}\r\n"
_ANY = f"Access-Control-Allow-Origin: *\r\n{_EXPOSE}"
_VARY = "Vary: Origin\r\n"


class Cors:
    """Answers preflights, and gives each route's responses their header lines."""

    def __init__(self, origins: CorsOrigins, routes: Iterable[Route]) -> None:
        self._listed = {
            origin: f"Access-Control-Allow-Origin: {origin}\r\n{_EXPOSE}{_VARY}"
            for origin in origins.listed
        }
        self._any_for_public = origins.any_for_public
        self._lines = {
            (route.method, route.path): self._public if not route.owned else self._owned
            for route in routes
            if route.tag != _OPERATIONS
        }

    def lines_of(self, route: Route) -> CorsLines | None:
        """Return what makes the header lines of a route's responses, None if it has none."""
        return self._lines.get((route.method, route.path))

    def unrouted(self, request: web.BaseRequest) -> str:
        """Return the header lines of an error of a path or method without a route."""
        return "" if request.method == hdrs.METH_OPTIONS else self._public(request)

    async def preflight_lines(self, request: web.Request) -> str:
        """Return the header lines of the response to OPTIONS; those of a preflight if it is one."""
        method = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
        if method is None or hdrs.ORIGIN not in request.headers:
            return ""
        called = await request.app.router.resolve(request.clone(method=_routed(method)))
        resource = called.route.resource
        make = self._lines.get((_routed(method), resource.canonical if resource else ""))
        lines = make(request) if make is not None else ""
        if hdrs.ACCESS_CONTROL_ALLOW_ORIGIN not in lines:
            return lines
        return (
            f"{lines}Access-Control-Allow-Methods: {method}\r\n"
            f"Access-Control-Allow-Headers: {', '.join(ALLOWED)}\r\n"
            f"Access-Control-Max-Age: {_MAX_AGE}\r\n"
        )

    def _owned(self, request: web.BaseRequest) -> str:
        if not self._listed:
            return ""
        return self._listed.get(request.headers.get(hdrs.ORIGIN, ""), _VARY)

    def _public(self, request: web.BaseRequest) -> str:
        return _ANY if self._any_for_public else self._owned(request)


def _routed(method: str) -> str:
    """The method whose route serves ``method``."""
    return hdrs.METH_GET if method == hdrs.METH_HEAD else method
