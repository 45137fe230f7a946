"""Errors on the wire: RFC 9457 problem documents, one shape for every error there is.

This is the one table that maps the errors of the domain to HTTP.
"""

from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from service.errors import (
    ExpiredError,
    InvalidError,
    MalformedError,
    NotFoundError,
    ServiceError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)
from service.models import Moment
from service.responses import respond

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:shared-reports:problem:"

STATUS: dict[type[ServiceError], HTTPStatus] = {
    MalformedError: HTTPStatus.BAD_REQUEST,
    UnauthorizedError: HTTPStatus.UNAUTHORIZED,
    NotFoundError: HTTPStatus.NOT_FOUND,
    ExpiredError: HTTPStatus.GONE,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    InvalidError: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}
EXTRA_HEADERS: dict[type[ServiceError], dict[str, str]] = {
    UnauthorizedError: {"WWW-Authenticate": 'Bearer realm="shared-reports"'},
    UnavailableError: {"Retry-After": "1"},
}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An RFC 9457 problem document."""

    type: Annotated[str, Meta(description="Which problem it is; programs go by this.")]
    title: Annotated[str, Meta(description="The status in words.")]
    status: Annotated[int, Meta(description="The HTTP status once more.")]
    detail: Annotated[str, Meta(description="What is wrong this time, for people.")]
    expired_at: Annotated[
        Moment | None, Meta(description="When the link expired; only there for a link that did.")
    ] = None


def from_error(error: ServiceError) -> web.Response:
    """The answer that tells an error of the domain."""
    status = STATUS[type(error)]
    problem = Problem(
        type=TYPE_PREFIX + error.code,
        title=status.phrase,
        status=status,
        detail=error.detail,
        expired_at=error.expired_at if isinstance(error, ExpiredError) else None,
    )
    return _answer(problem, EXTRA_HEADERS.get(type(error), {}))


def from_http(error: web.HTTPException) -> web.Response:
    """The answer for what aiohttp itself refuses: no such path, wrong method and the like."""
    status = HTTPStatus(error.status)
    details = {
        HTTPStatus.NOT_FOUND: "There is nothing at this path.",
        HTTPStatus.METHOD_NOT_ALLOWED: "This path does not take this method; see Allow.",
    }
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return _answer(_plain(status, details.get(status, f"{status.description}.")), headers)


def internal() -> web.Response:
    """The answer for a fault of our own. It tells nothing; the log has it all."""
    return _answer(
        _plain(HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed to answer this request."), {}
    )


def _plain(status: HTTPStatus, detail: str) -> Problem:
    code = status.phrase.lower().replace(" ", "-")
    return Problem(type=TYPE_PREFIX + code, title=status.phrase, status=status, detail=detail)


def _answer(problem: Problem, headers: dict[str, Any]) -> web.Response:
    return respond(problem, status=problem.status, content_type=CONTENT_TYPE, headers=headers)
