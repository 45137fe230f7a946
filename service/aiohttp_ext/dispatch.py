"""Dispatch of plain requests by one or two look-ups in a table."""

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

RawHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def install_fast_dispatch(app: web.Application) -> None:
    """Let the application take a plain request to its handler by two look-ups at most.

    Any other goes aiohttp's way, which tries the templates one after the other, takes each path
    for one that may need unquoting, and asks for middlewares that there are none of: an eighth of
    what a view costs. Call this once all routes are there; a name in a template may not have a
    pattern of its own.
    """
    search = app._handle  # noqa: SLF001 - aiohttp has no hook for this
    whole: dict[tuple[str, str], tuple[RawHandler, web.UrlMappingMatchInfo]] = {}
    ending: dict[tuple[str, str], tuple[RawHandler, web.AbstractRoute, str]] = {}
    for route in app.router.routes():
        template = route.resource.canonical if route.resource else ""
        place, _, name = template.removesuffix("}").rpartition("/{")
        if "{" not in template:
            match = web.UrlMappingMatchInfo({}, route)  # shared by requests: it holds no names
            match.add_app(app)
            whole[route.method, template] = route.handler, match
        elif "{" not in place and name.isidentifier():
            ending[route.method, place] = route.handler, route, name

    def handle(request: web.Request) -> Awaitable[web.StreamResponse]:
        method, path = request.method, request.raw_path
        if hdrs.EXPECT in request.headers:
            return search(request)
        if (found := whole.get((method, path))) is not None:
            handler, request._match_info = found  # noqa: SLF001 - as ``search`` does it
            return handler(request)
        place, _, last = path.rpartition("/")
        if last.isalnum() and last.isascii() and (named := ending.get((method, place))):
            handler, route, name = named
            match = request._match_info = web.UrlMappingMatchInfo({name: last}, route)  # noqa: SLF001
            match.add_app(app)
            return handler(request)
        return search(request)

    app._handle = handle  # type: ignore[assignment, method-assign] # noqa: SLF001
