"""Routes: who may call each and what it says; how a handler gets at its caller and its body.

A route is either ``public`` or ``owned``: there is no third way to declare one, and so none that
forgets to ask for a key.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from aiohttp import hdrs, web
from aiohttp.http_exceptions import PayloadEncodingError

from service.aiohttp_ext.response import JSON, Response
from service.domain.decoding import decode_body
from service.domain.errors import (
    LimitedError,
    MalformedError,
    ServiceError,
    TooLargeError,
    TooSlowError,
    UnauthorizedError,
)
from service.domain.models import Owner
from service.security import credentials
from service.web.app_keys import API_KEYS, CONFIG, CREATE_LIMITER, LOOKUP_LIMITER
from service.web.proxies import rate_limit_key

T = TypeVar("T")
Body = TypeVar("Body", bytes, bytearray)
Handler = Callable[[web.Request], Awaitable[Response]]
RawHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]
OwnedHandler = Callable[[web.Request, Owner], Awaitable[Response]]

BODY_MAX = 64 * 2**10
EXPORT_MAX = 32 * 2**20
_ENCODINGS = {"identity", "gzip", "deflate"}


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
            def authenticated(request: web.Request) -> Awaitable[Response]:
                app = request.app
                owner = _owner(request, app)
                if creates:
                    app[CREATE_LIMITER].acquire(owner.key_id)
                return handler(request, owner)

            fields.update(method=method, path=path, creates=creates, owned=True)
            self._add(handler, handler=authenticated, **fields)
            return handler

        return declare

    def _add(self, declared: Callable[..., object], **fields: Any) -> None:
        summary, _, details = (inspect.getdoc(declared) or "").partition("\n")
        fields.update(summary=summary, details=details.strip())
        self.routes.append(Route(tag=self._tag, **fields))


def _owner(request: web.Request, app: web.Application) -> Owner:
    authorization = request.headers.get(hdrs.AUTHORIZATION)
    if authorization is None:
        raise UnauthorizedError("This call needs an API key in the Authorization header.")
    raw_key = credentials.parse_authorization(authorization)
    if raw_key is None:
        raise UnauthorizedError("An API key is lvz_live_ and 64 hex digits.")
    return app[API_KEYS].owner_of(raw_key)


def apply_guess_limit(request: web.Request, error: ServiceError) -> ServiceError:
    """The error to tell: ``error``, or LimitedError where that is one guess too many.

    What there is has been found before, so only those who name what there is not can be limited,
    even where others share their address.
    """
    if error.guessed:
        try:
            request.app[LOOKUP_LIMITER].acquire(rate_limit_key(request))
        except LimitedError as limited:
            return limited
    return error


async def fallback_route(request: web.Request) -> Response:
    """Answer what no route takes. Raises HTTPNotFound, or HTTPMethodNotAllowed with the methods."""
    methods: set[str] = set()
    for resource in request.app.router.resources():
        if resource is not request.match_info.route.resource:
            methods |= (await resource.resolve(request))[1]
    if methods:
        raise web.HTTPMethodNotAllowed(request.method, methods)
    raise web.HTTPNotFound


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


async def read_body(request: web.Request, limit: int = BODY_MAX, *, has_key: bool = True) -> bytes:
    """The body, of at most ``limit`` bytes, of a request that has brought a key, or a link.

    Raises TooLargeError, TooSlowError, MalformedError, and UnauthorizedError where the key has
    stopped working while the body came.
    """
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() not in _ENCODINGS:
        raise MalformedError("The body's Content-Encoding is neither gzip nor deflate.")
    content = request.content
    if content.is_eof() and content.exception() is None:  # as small bodies are: it is all there
        return _within(limit, content.read_nowait())
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    body = bytearray()
    patience = request.app[CONFIG].body_timeout
    try:
        async with asyncio.timeout(patience):
            async for chunk in content.iter_any():
                body += chunk
                _within(limit, body)
    except TimeoutError as error:
        raise TooSlowError(f"The body may take up to {patience:g} s.") from error
    except ConnectionError as error:
        raise MalformedError("The connection ended before the body did.") from error
    except (PayloadEncodingError, web.RequestPayloadError) as error:
        raise MalformedError("The body's transfer or content encoding is broken.") from error
    if has_key:
        _owner(request, request.app)
    return bytes(body)


def _within(limit: int, body: Body) -> Body:
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"The body may have up to {limit} bytes.")


async def read_json(request: web.Request, kind: type[T], *, has_key: bool = True) -> T:
    """The request's body as a ``kind``. Raises InvalidError and what read_body does."""
    body = await read_body(request, has_key=has_key)
    return decode_body(body, kind)


async def read_form(request: web.Request) -> dict[str, str]:
    """The fields of the form that a person has sent. Raises what read_body does."""
    body = await read_body(request, has_key=False)
    return dict(parse_qsl(body.decode(errors="replace")))


def prefers_html(accept: str) -> bool:
    """Whether an Accept header asks for HTML before JSON, as browsers do and programs don't."""
    if "text/html" not in accept:
        return False
    wanted: dict[str, float] = {}
    for each in accept.split(","):
        media_type, _, weight = each.replace(" ", "").lower().partition(";q=")
        try:
            wanted[media_type.partition(";")[0]] = float(weight or 1)
        except ValueError:
            return False
    other = max(wanted.get(each, 0) for each in ("application/json", "application/*", "*/*"))
    return wanted.get("text/html", 0) > other


async def off_loop(function: Callable[..., T], *arguments: object) -> T:
    """Run a function that takes long in a thread, so that other requests go on."""
    return await asyncio.to_thread(function, *arguments)
