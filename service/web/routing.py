"""Routes: their declaration, the caller each requires, and their published description.

A route is either ``public`` or ``owned``. There is no third way to declare one, so none can be
served without a key by mistake.
"""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote

from aiohttp import hdrs, web

from service.aiohttp_ext.response import JSON, EmptyResponse, Response
from service.domain.errors import InvalidError, MalformedError, ServiceError
from service.domain.types import Owner
from service.web.app_keys import CREATE_LIMITER, PREFLIGHT, WEBHOOKS
from service.web.authentication import authenticate

T = TypeVar("T")

_NAMES_SHOWN = 5  # unknown query parameters that an error names
_NAME_SHOWN = 50  # characters of such a name


Handler = Callable[[web.Request], Awaitable[Response]]


OwnedHandler = Callable[[web.Request, Owner], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation of the API: its path, caller, request and responses."""

    method: str
    path: str
    owned: bool
    handler: Handler
    tag: str
    """The tag that the published description lists it under."""
    summary: str
    details: str
    """The handler's docstring after its first line."""
    operation: str
    """The published operation id: its name in generated clients."""
    returns: Any
    """The type of a successful response's body; ``str`` if it is not JSON."""
    content_type: str = JSON
    has_page: bool = False
    """Whether a client that prefers HTML gets a page instead."""
    status: int = 200
    also: tuple[int, ...] = ()
    """Other statuses whose body has the same type."""
    redirects: str = ""
    """Which clients are redirected; empty if none are."""
    headers: tuple[str, ...] = ()
    """The headers of a successful response beside those of every response."""
    body: Any = None
    """The type of the request's body; None if it has none."""
    form: Any = None
    """The type of the fields of the request's form; None if it has none."""
    creates: bool = False
    """Whether it counts toward the creates that a key may make a minute."""
    query: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    """The request headers that it reads beside those that every operation reads."""
    problems: tuple[type[ServiceError], ...] = ()
    """The errors it may raise beside those of every public or owned route."""


class RouteTable:
    """The routes of one handler module, declared by decorators.

    The keyword arguments of a decorator are fields of Route.
    """

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self.routes: list[Route] = []

    def public(self, method: str, path: str, **fields: Any) -> Callable[[Handler], Handler]:
        """Declare a route that anyone may call."""

        def declare(handler: Handler) -> Handler:
            self._add(handler, method=method, path=path, handler=handler, owned=False, **fields)
            return handler

        return declare

    def owned(
        self, method: str, path: str, *, creates: bool = False, **fields: Any
    ) -> Callable[[OwnedHandler], OwnedHandler]:
        """Declare a route that requires an API key, and passes its owner to the handler."""

        def declare(handler: OwnedHandler) -> OwnedHandler:
            known = frozenset(fields.get("query", ()))
            writes = method != "GET"

            async def authenticated(request: web.Request) -> Response:
                app = request.app
                owner = await authenticate(request, app)
                if "%" in request.raw_path:
                    _check_target(request.raw_path)
                if "?" in request.raw_path:
                    _check_query(request, known)
                if creates:
                    app[CREATE_LIMITER].acquire(owner.key_id)
                response = await handler(request, owner)
                if writes:
                    app[WEBHOOKS].events_written()
                return response

            fields.update(method=method, path=path, creates=creates, owned=True)
            self._add(handler, handler=authenticated, **fields)
            return handler

        return declare

    def _add(self, declared: Callable[..., object], **fields: Any) -> None:
        summary, _, details = (inspect.getdoc(declared) or "").partition("\n")
        fields.update(summary=summary, details=details.strip())
        self.routes.append(Route(tag=self._tag, **fields))


def _check_query(request: web.Request, known: frozenset[str]) -> None:
    """Raise InvalidError, which names them, for query parameters that the route does not have.

    A mistyped filter must not list everything.
    """
    unknown = [name for name in dict.fromkeys(request.query) if name not in known]
    if unknown:
        names = ", ".join(f"`{name[:_NAME_SHOWN]}`" for name in unknown[:_NAMES_SHOWN])
        takes = ", ".join(f"`{name}`" for name in sorted(known)) or "none"
        raise InvalidError(f"Unknown query parameters: {names}. This call takes: {takes}.")


def _check_target(target: str) -> None:
    """Reject a path or query whose escapes are not UTF-8: they would be taken for themselves."""
    try:
        unquote(target, errors="strict")
    except UnicodeError as error:
        raise MalformedError("The escapes of the path or the query are not UTF-8.") from error


async def fallback_route(request: web.Request) -> Response:
    """Answer OPTIONS of any path that has a route, without a key.

    Raises HTTPNotFound or HTTPMethodNotAllowed for any other request without a route.
    """
    methods: set[str] = set()
    for resource in request.app.router.resources():
        if resource is not request.match_info.route.resource:
            methods |= (await resource.resolve(request))[1]
    if not methods:
        raise web.HTTPNotFound
    methods.add(hdrs.METH_OPTIONS)
    if request.method != hdrs.METH_OPTIONS:
        raise web.HTTPMethodNotAllowed(request.method, methods)
    response = EmptyResponse({"Allow": ", ".join(sorted(methods))})
    if (preflight_lines := request.app.get(PREFLIGHT)) is not None:
        response.add_lines(await preflight_lines(request))
    return response
