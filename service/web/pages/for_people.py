"""Pages for dead and protected links, in place of what a link would show."""

import secrets
from functools import wraps
from http import HTTPStatus

from aiohttp import web

from service.aiohttp_ext.response import Response
from service.domain.errors import (
    INACTIVE_LINK_ERRORS,
    PROTECTED_LINK_ERRORS,
    ExhaustedError,
    ExpiredError,
    LimitedError,
    OpenRequiredError,
    PasswordRequiredError,
    ServiceError,
)
from service.web.authentication import apply_guess_limit
from service.web.pages.clock import date_text
from service.web.pages.rendering import page_response, render
from service.web.problems import STATUS, extra_headers
from service.web.routing import Handler


def for_people(handler: Handler) -> Handler:
    """Show a page for a dead or protected link, with the status that the API gives it."""

    @wraps(handler)
    async def show_errors(request: web.Request) -> Response:
        try:
            return await handler(request)
        except INACTIVE_LINK_ERRORS as error:
            expired = date_text(error.expired_at) if isinstance(error, ExpiredError) else None
            exhausted = isinstance(error, ExhaustedError)
            body = render("gone.html", expired=expired, exhausted=exhausted)
            limited = apply_guess_limit(request, error)
            return page_response(
                request, body, status=STATUS[type(limited)], headers=extra_headers(limited)
            )
        except (*PROTECTED_LINK_ERRORS, LimitedError) as error:
            return unlock_form(request, error, STATUS[type(error)])

    return show_errors


def unlock_form(request: web.Request, error: ServiceError, status: HTTPStatus) -> Response:
    """The form that unlocks the request's link. It shows nothing of the report."""
    message = ""
    if isinstance(error, PasswordRequiredError) and error.is_wrong:
        message = "This is not the password."
    elif isinstance(error, LimitedError):
        message = f"Too many tries. Wait {error.retry_after} s and try again."
    is_page = request.path.endswith(request.match_info["share_hash"])
    body = render(
        "open.html",
        # A download would leave the form on the screen, so its form leads to the page.
        action=page_address(request) if is_page else f"../{request.match_info['share_hash']}",
        asks_password=not isinstance(error, OpenRequiredError),
        message=message,
        key=secrets.token_hex(16),
    )
    headers = extra_headers(error) if status >= HTTPStatus.BAD_REQUEST else {}
    return page_response(request, body, status=status, headers=headers)


def page_address(request: web.Request) -> str:
    """Return the page's address with the request's query, relative: a proxy may add a path."""
    share_hash, query = request.match_info["share_hash"], request.rel_url.raw_query_string
    return f"{share_hash}?{query}" if query else share_hash
