"""Signing in and out."""

from http import HTTPStatus

from aiohttp import hdrs, web

from service.aiohttp_ext.response import Response
from service.domain.errors import LimitedError, ServiceError, UnauthorizedError
from service.security.credentials import parse_authorization
from service.web.app_keys import CREATE_LIMITER, REPOSITORIES, SIGN_IN_CODES
from service.web.authentication import apply_guess_limit
from service.web.bots import is_prefetch
from service.web.console.forms import Form
from service.web.console.rendering import redirect, show
from service.web.console.routing import ConsoleTable
from service.web.console.sessions import (
    Session,
    find_session,
    forget_session,
    form_token,
    new_visitor,
    start_session,
    visitor_secret,
)
from service.web.problems import STATUS, extra_headers

table = ConsoleTable()


@table.page("/console/")
@table.page("/console")
async def home(request: web.Request, _session: Session) -> Response:
    """Lead to the videos."""
    return redirect(request, "videos")


@table.visitor_page("/console/sign-in")
async def sign_in_page(request: web.Request) -> Response:
    """Show the form that asks for an API key."""
    try:
        await find_session(request)
    except UnauthorizedError:
        return await _sign_in_form(request)
    return redirect(request, "videos")


async def _sign_in_form(request: web.Request, error: ServiceError | None = None) -> Response:
    secret, headers = visitor_secret(request), {}
    if secret is None:
        secret, headers["Set-Cookie"] = new_visitor(request)
    if isinstance(error, LimitedError):
        message = f"Too many tries. Wait {error.retry_after} s and try again."
    else:
        message = error.detail if error else ""
    return await show(
        request,
        None,
        "sign_in.html",
        status=STATUS[type(error)] if error else HTTPStatus.OK,
        headers=headers | (extra_headers(error) if error else {}),
        message=message,
        visitor_token=form_token(secret),
    )


@table.visitor_action("/console/sign-in")
async def sign_in(request: web.Request, form: Form) -> Response:
    """Start a session with an API key. Unknown keys count as guesses, as everywhere."""
    raw_key = parse_authorization(form.text("key"))
    if raw_key is None:
        error = UnauthorizedError("An API key is lvz_live_ and 64 hex digits.")
        return await _sign_in_form(request, error)
    try:
        owner = await request.app[REPOSITORIES].api_keys.owner_of(raw_key)
        request.app[CREATE_LIMITER].acquire(owner.key_id)
        cookie = await start_session(request, owner)
    except (UnauthorizedError, LimitedError) as error:
        return await _sign_in_form(request, apply_guess_limit(request, error))
    return redirect(request, "videos", {"Set-Cookie": cookie})


@table.visitor_page("/console/sign-in/{code}")
async def sign_in_once(request: web.Request) -> Response:
    """Start a session by a one-time link, which `serve --demo` prints.

    The page leads on by itself: a redirect from elsewhere would not bring the cookie along.
    """
    if is_prefetch(request):
        return redirect(request, "sign-in")
    owner = request.app[SIGN_IN_CODES].take(request.match_info["code"])
    cookie = await start_session(request, owner)
    return await show(request, None, "welcome.html", headers={hdrs.SET_COOKIE: cookie})


@table.action("/console/sign-out")
async def sign_out(request: web.Request, session: Session, _form: Form) -> Response:
    """End the session."""
    await request.app[REPOSITORIES].sessions.end(session.token)
    return redirect(request, "sign-in", {"Set-Cookie": forget_session(request)})
