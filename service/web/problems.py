"""Errors on the wire: RFC 9457 problem documents, one shape for every error.

``STATUS`` is the one table that maps the errors of the domain to HTTP.
"""

from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from service.aiohttp_ext.response import Response, json_response, raw_response
from service.domain.errors import (
    ConflictError,
    ExhaustedError,
    ExpiredError,
    InvalidError,
    LimitedError,
    MalformedError,
    NotFoundError,
    OpenRequiredError,
    PasswordRequiredError,
    ServiceError,
    TooLargeError,
    TooSlowError,
    UnauthorizedError,
    UnavailableError,
)
from service.domain.types import Timestamp

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:shared-reports:problem:"

STATUS: dict[type[ServiceError], HTTPStatus] = {
    MalformedError: HTTPStatus.BAD_REQUEST,
    UnauthorizedError: HTTPStatus.UNAUTHORIZED,
    PasswordRequiredError: HTTPStatus.UNAUTHORIZED,
    OpenRequiredError: HTTPStatus.UNAUTHORIZED,
    NotFoundError: HTTPStatus.NOT_FOUND,
    TooSlowError: HTTPStatus.REQUEST_TIMEOUT,
    ConflictError: HTTPStatus.CONFLICT,
    ExpiredError: HTTPStatus.GONE,
    ExhaustedError: HTTPStatus.GONE,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    InvalidError: HTTPStatus.UNPROCESSABLE_ENTITY,
    LimitedError: HTTPStatus.TOO_MANY_REQUESTS,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}
# Names in braces are fields of the error.
EXTRA_HEADERS: dict[type[ServiceError], dict[str, str]] = {
    UnauthorizedError: {"WWW-Authenticate": 'Bearer realm="shared-reports"'},
    PasswordRequiredError: {"WWW-Authenticate": 'ShareToken realm="shared-reports"'},
    OpenRequiredError: {"WWW-Authenticate": 'ShareToken realm="shared-reports"'},
    # https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
    LimitedError: {
        "Retry-After": "{retry_after}",
        "RateLimit-Policy": '"{policy}";q={per_minute};w=60',
        "RateLimit": '"{policy}";r=0;t={retry_after}',
    },
    UnavailableError: {"Retry-After": "1"},
}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An RFC 9457 problem document."""

    type: Annotated[str, Meta(description="The kind of problem, for programs.")]
    title: Annotated[str, Meta(description="The status in words.")]
    status: Annotated[int, Meta(description="The HTTP status.")]
    detail: Annotated[str, Meta(description="What is wrong, for people.")]
    expired_at: Annotated[
        Timestamp | None, Meta(description="When the link expired; only for expired links.")
    ] = None


def from_error(error: ServiceError) -> Response:
    """Return the response to an error of the domain."""
    if type(error) is NotFoundError:
        body = _not_found(error.detail)
        return raw_response(body, status=HTTPStatus.NOT_FOUND, content_type=CONTENT_TYPE)
    response = _response(_problem(error), extra_headers(error))
    if isinstance(error, TooSlowError):
        response.force_close()
    return response


@lru_cache(maxsize=64)
def _not_found(detail: str) -> bytes:
    """The problem document of a NotFoundError; all unknown share hashes have the same one."""
    return json_response(_problem(NotFoundError(detail))).body


def _problem(error: ServiceError) -> Problem:
    status = STATUS[_listed(error)]
    return Problem(
        type=TYPE_PREFIX + error.code,
        title=status.phrase,
        status=status,
        detail=error.detail,
        expired_at=error.expired_at if isinstance(error, ExpiredError) else None,
    )


def _listed(error: ServiceError) -> type[ServiceError]:
    """Return the class of an error in STATUS: a storage engine may raise a subclass of it."""
    return next(cls for cls in type(error).__mro__ if cls in STATUS)


def extra_headers(error: ServiceError) -> dict[str, str]:
    """Return the headers of the response to an error beside those of every response."""
    return {
        name: text.format_map(vars(error))
        for name, text in EXTRA_HEADERS.get(_listed(error), {}).items()
    }


def from_status(status: int, headers: Mapping[str, str] = MappingProxyType({})) -> Response:
    """Return the response to an error of HTTP itself: no such path, wrong method and the like."""
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
    return _response(problem, {name: headers[name] for name in ("Allow",) if name in headers})


def _response(problem: Problem, headers: dict[str, Any]) -> Response:
    return json_response(problem, status=problem.status, content_type=CONTENT_TYPE, headers=headers)
