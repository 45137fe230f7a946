"""Routes: who may call each and what it says; how a handler gets at its caller and its body.

A route is either ``public`` or ``owned``: there is no third way to declare one, and so none that
forgets to ask for a key.
"""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from service.aiohttp_ext.response import JSON, Response
from service.domain.errors import (
    ServiceError,
)
from service.domain.types import Owner
from service.web.app_keys import CREATE_LIMITER
from service.web.authentication import authenticate

T = TypeVar("T")


Handler = Callable[[web.Request], Awaitable[Response]]


OwnedHandler = Callable[[web.Request, Owner], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One call of the API: how to reach it, who may, what it takes and what it answers."""

    method: str
    path: str
    owned: bool
    handler: Handler
    tag: str
    """The tag that the published description lists it under."""
    summary: str
    details: str
    """What the handler's docstring says after its first line."""
    operation: str
    """The published operation id: its name in generated clients."""
    returns: Any
    """The type of the body of its success; ``str`` for what is no JSON."""
    content_type: str = JSON
    status: int = 200
    also: tuple[int, ...] = ()
    """Other statuses that come with a body of the same type."""
    redirects: str = ""
    """Who is sent elsewhere; empty where nobody is."""
    headers: tuple[str, ...] = ()
    """The headers of its success that not every answer has."""
    body: Any = None
    """The type of its request's body; None where it takes none."""
    form: Any = None
    """The type of the fields of the form that it takes, where it takes one."""
    creates: bool = False
    """Whether it is one of the creates that a key may make a minute."""
    query: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    """The headers of its request that mean something to it beside what they always mean."""
    problems: tuple[type[ServiceError], ...] = ()
    """What it may raise beside what every route of its kind may."""


class RouteTable:
    """The routes of one handler module, declared by decorators.

    What a decorator is given beside the method and the path are Route's fields.
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
        """Declare a route that asks for an API key, and hands its owner to the handler."""

        def declare(handler: OwnedHandler) -> OwnedHandler:
            async def authenticated(request: web.Request) -> Response:
                app = request.app
                owner = await authenticate(request, app)
                if creates:
                    app[CREATE_LIMITER].acquire(owner.key_id)
                return await handler(request, owner)

            fields.update(method=method, path=path, creates=creates, owned=True)
            self._add(handler, handler=authenticated, **fields)
            return handler

        return declare

    def _add(self, declared: Callable[..., object], **fields: Any) -> None:
        summary, _, details = (inspect.getdoc(declared) or "").partition("\n")
        fields.update(summary=summary, details=details.strip())
        self.routes.append(Route(tag=self._tag, **fields))


async def fallback_route(request: web.Request) -> Response:
    """Answer what no route takes. Raises HTTPNotFound, or HTTPMethodNotAllowed with the methods."""
    methods: set[str] = set()
    for resource in request.app.router.resources():
        if resource is not request.match_info.route.resource:
            methods |= (await resource.resolve(request))[1]
    if methods:
        raise web.HTTPMethodNotAllowed(request.method, methods)
    raise web.HTTPNotFound
