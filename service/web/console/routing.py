"""Routes of the console: which need a session, and what each form must bring.

A route is a ``page`` or an ``action`` of a session, or one of a ``visitor`` who signs in. There is
no other way to declare one, so no page is shown without its owner, and no form is accepted without
its token.
"""

import hmac
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus

from aiohttp import hdrs, web

from service.aiohttp_ext.response import Response
from service.domain.errors import ServiceError, UnauthorizedError
from service.web.app_keys import CREATE_LIMITER
from service.web.authentication import apply_guess_limit
from service.web.console.forms import TOKEN_FIELD, Form, read_form
from service.web.console.rendering import redirect, show
from service.web.console.sessions import Session, find_session, form_token, visitor_secret
from service.web.problems import STATUS, extra_headers
from service.web.proxies import base_url
from service.web.routing import Handler

PageHandler = Callable[[web.Request, Session], Awaitable[Response]]

ActionHandler = Callable[[web.Request, Session, Form], Awaitable[Response]]

VisitorAction = Callable[[web.Request, Form], Awaitable[Response]]

_REJECTED = {
    HTTPStatus.NOT_FOUND: "There is nothing here",
    HTTPStatus.CONFLICT: "That cannot be done now",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many tries",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not now",
}


class FormRejectedError(Exception):
    """A form does not come from a page of this browser's session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleRoute:
    """A route of the console."""

    method: str
    path: str
    handler: Handler
    needs_session: bool
    summary: str
    """The first line of the handler's docstring."""


class ConsoleTable:
    """The routes of one module of handlers, declared by decorators."""

    def __init__(self) -> None:
        self.routes: list[ConsoleRoute] = []

    def page(self, path: str) -> Callable[[PageHandler], PageHandler]:
        """Declare a page of a session."""

        def declare(handler: PageHandler) -> PageHandler:
            async def find_and_show(request: web.Request) -> Response:
                return await handler(request, await find_session(request))

            self._add(hdrs.METH_GET, path, find_and_show, handler)
            return handler

        return declare

    def action(self, path: str, *, creates: bool = False) -> Callable[[ActionHandler], Handler]:
        """Declare what a form of a session does. It may count as a create: see ``RouteTable``."""

        def declare(handler: ActionHandler) -> Handler:
            async def check_and_act(request: web.Request) -> Response:
                session = await find_session(request)
                form = await read_form(request)
                check_form(request, form, session.token)
                await find_session(request)  # it may have ended while the form was sent
                if creates:
                    request.app[CREATE_LIMITER].acquire(session.owner.key_id)
                return await handler(request, session, form)

            return self._add(hdrs.METH_POST, path, check_and_act, handler)

        return declare

    def visitor_page(self, path: str) -> Callable[[Handler], Handler]:
        """Declare a page for a visitor without a session."""
        return lambda handler: self._add(hdrs.METH_GET, path, handler, handler, needs_session=False)

    def visitor_action(self, path: str) -> Callable[[VisitorAction], Handler]:
        """Declare what a visitor's form does."""

        def declare(handler: VisitorAction) -> Handler:
            async def check_and_act(request: web.Request) -> Response:
                form = await read_form(request)
                check_form(request, form, visitor_secret(request))
                return await handler(request, form)

            return self._add(hdrs.METH_POST, path, check_and_act, handler, needs_session=False)

        return declare

    def _add(
        self,
        method: str,
        path: str,
        handler: Handler,
        declared: Callable[..., object],
        *,
        needs_session: bool = True,
    ) -> Handler:
        guarded = _with_error_pages(handler)
        self.routes.append(
            ConsoleRoute(
                method=method,
                path=path,
                handler=guarded,
                needs_session=needs_session,
                summary=(inspect.getdoc(declared) or "").partition("\n")[0],
            )
        )
        return guarded


def check_form(request: web.Request, form: Form, secret: str | None) -> None:
    """Raise FormRejectedError unless a form has the token of the browser that sends it.

    Browsers say beside it where a request comes from: with the token of a session that someone has
    read, a page of another origin still gets nowhere.
    """
    fetch_site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get(hdrs.ORIGIN, "null")  # null is what a hidden origin is called
    is_foreign = origin != "null" and origin != _origin(base_url(request))
    if fetch_site != "same-origin" or is_foreign or secret is None:
        raise FormRejectedError
    if not hmac.compare_digest(form.text(TOKEN_FIELD).encode(), form_token(secret).encode()):
        raise FormRejectedError


def _origin(address: str) -> str:
    """Return the origin of an address, as browsers send it."""
    scheme, _, rest = address.partition("://")
    host = rest.partition("/")[0].lower()
    return f"{scheme}://{host.removesuffix(':443' if scheme == 'https' else ':80')}"


def _with_error_pages(handler: Handler) -> Handler:
    @wraps(handler)
    async def guarded(request: web.Request) -> Response:
        try:
            return await handler(request)
        except UnauthorizedError:
            return await _ask_to_sign_in(request)
        except FormRejectedError:
            return await show(
                request,
                await _session_or_none(request),
                "error.html",
                status=HTTPStatus.FORBIDDEN,
                title="This form is out of date",
                detail="Nothing was changed. Go back, load the page again, and send the form anew.",
            )
        except ServiceError as error:
            return await _error_page(request, error)

    return guarded


async def _ask_to_sign_in(request: web.Request) -> Response:
    if request.method != hdrs.METH_POST:
        return redirect(request, "sign-in")
    return await show(
        request,
        None,
        "error.html",
        status=HTTPStatus.UNAUTHORIZED,
        title="Your session has ended",
        detail="Nothing was changed. Sign in, and send the form again.",
    )


async def _error_page(request: web.Request, error: ServiceError) -> Response:
    limited = apply_guess_limit(request, error)
    status = STATUS[type(limited)]
    return await show(
        request,
        await _session_or_none(request),
        "error.html",
        status=status,
        headers=extra_headers(limited),
        title=_REJECTED.get(status, "This could not be done"),
        detail=limited.detail.replace("`", ""),
    )


async def _session_or_none(request: web.Request) -> Session | None:
    try:
        return await find_session(request)
    except ServiceError:
        return None
