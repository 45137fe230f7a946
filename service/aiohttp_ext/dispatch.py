"""Dispatch of plain requests by one or two look-ups in a table."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web

from service.aiohttp_ext.error_responses import (
    MakeResponse,
    catch_http_exceptions,
    error_response,
)
from service.aiohttp_ext.private_names import FAST_DISPATCH, is_available

RawHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_ExactRoutes = dict[tuple[str, str], tuple[RawHandler, web.UrlMappingMatchInfo]]
_NamedRoute = tuple[RawHandler, web.AbstractRoute, str]


def checked_dispatch(search: RawHandler, make_response: MakeResponse) -> RawHandler:
    """Return aiohttp's dispatch ``search``, with the checks that the fast dispatch leaves to it.

    A version other than 1.0 and 1.1 gets 505. HTTP/1.0 has no Transfer-Encoding: a proxy may frame
    such a body otherwise than aiohttp does. A connection closes after a request with ``Upgrade``,
    because aiohttp's parser drops the bytes that follow it in the same packet.
    """
    search = catch_http_exceptions(search, make_response)

    async def handle(request: web.Request) -> web.StreamResponse:
        response: Any
        if request.version not in (HttpVersion10, HttpVersion11):
            response = error_response(make_response, 505, "version")
        elif request.version == HttpVersion10 and hdrs.TRANSFER_ENCODING in request.headers:
            response = error_response(make_response, 400, "Transfer-Encoding in HTTP/1.0")
        else:
            response = await search(request)
            if hdrs.UPGRADE in request.headers:
                response.force_close()
        return response  # type: ignore[no-any-return] # ours has all that aiohttp asks of one

    return handle


def _tables(
    app: web.Application,
) -> tuple[
    _ExactRoutes, dict[tuple[str, str], _NamedRoute], dict[tuple[str, str, str], _NamedRoute]
]:
    """The routes without a name, with one at the end, and with one before the last segment."""
    exact_routes: _ExactRoutes = {}
    prefix_routes: dict[tuple[str, str], _NamedRoute] = {}
    suffix_routes: dict[tuple[str, str, str], _NamedRoute] = {}
    for route in app.router.routes():
        template = route.resource.canonical if route.resource else ""
        head, _, suffix = template.rpartition("}")
        prefix, _, name = head.rpartition("/{")
        if "{" not in template:
            match = web.UrlMappingMatchInfo({}, route)  # shared by requests: it holds no names
            match.add_app(app)
            exact_routes[route.method, template] = route.handler, match
        elif "{" in prefix or not name.isidentifier():
            continue  # to be searched for
        elif not suffix:
            prefix_routes[route.method, prefix] = route.handler, route, name
        elif suffix.count("/") == 1 and suffix[0] == "/":
            suffix_routes[route.method, prefix, suffix[1:]] = route.handler, route, name
    return exact_routes, prefix_routes, suffix_routes


def fast_dispatch(
    app: web.Application, search: RawHandler, make_response: MakeResponse
) -> RawHandler:
    """Return a dispatch that finds the handler of a plain request by three look-ups at most.

    Any other request goes to ``search``, aiohttp's own dispatch, which tries the templates one
    after the other, unquotes each path, and looks for middlewares, of which there are none: this
    takes an eighth of the time of a view. All routes must have been added. The
    pattern of a name in a template must match every text of ASCII letters and digits.
    """
    search = checked_dispatch(search, make_response)
    if not is_available(FAST_DISPATCH):
        return search
    exact_routes, prefix_routes, suffix_routes = _tables(app)
    expect, upgrade = hdrs.EXPECT, hdrs.UPGRADE

    def handle(request: web.Request) -> Awaitable[web.StreamResponse]:
        method, path, headers = request.method, request.raw_path, request.headers
        if request.version is not HttpVersion11 or expect in headers or upgrade in headers:
            return search(request)
        if (exact := exact_routes.get((method, path))) is not None:
            handler, request._match_info = exact  # noqa: SLF001 - as ``search`` does
            return handler(request)
        prefix, _, last = path.rpartition("/")
        named, value = prefix_routes.get((method, prefix)), last
        if named is None:
            prefix, _, value = prefix.rpartition("/")
            named = suffix_routes.get((method, prefix, last))
        if named is None or not (value.isalnum() and value.isascii()):
            return search(request)
        handler, route, name = named
        match = request._match_info = web.UrlMappingMatchInfo({name: value}, route)  # noqa: SLF001 - the same
        match.add_app(app)
        return handler(request)

    return handle
