"""Errors on the wire: RFC 9457 problem documents, one shape for every error there is.

This is the one table that maps the errors of the domain to HTTP.
"""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
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


def from_status(status: int, headers: Mapping[str, str] = MappingProxyType({})) -> web.Response:
    """The answer for what aiohttp itself refuses: no such path, wrong method and the like."""
    known = HTTPStatus(status)
    details = {
        HTTPStatus.BAD_REQUEST: "This is not a request that HTTP allows.",
        HTTPStatus.NOT_FOUND: "There is nothing at this path.",
        HTTPStatus.METHOD_NOT_ALLOWED: "This path does not take this method; see Allow.",
        HTTPStatus.INTERNAL_SERVER_ERROR: "The service failed to answer this request.",
    }
    code = known.phrase.lower().replace(" ", "-")
    problem = Problem(
        type=TYPE_PREFIX + code,
        title=known.phrase,
        status=known,
        detail=details.get(known, f"{known.description or known.phrase}."),
    )
    return _answer(problem, {name: headers[name] for name in ("Allow",) if name in headers})


def _answer(problem: Problem, headers: dict[str, Any]) -> web.Response:
    return respond(problem, status=problem.status, content_type=CONTENT_TYPE, headers=headers)
