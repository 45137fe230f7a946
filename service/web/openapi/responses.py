"""The responses of problems in the OpenAPI document, and the headers of all responses."""

import inspect
from dataclasses import dataclass
from http import HTTPStatus

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
from service.web.openapi.examples import DETAILS, TIMESTAMP
from service.web.openapi.schemas import Json, schema
from service.web.problems import CONTENT_TYPE, EXTRA_HEADERS, STATUS, TYPE_PREFIX, Problem

HEADERS: dict[str, Json] = {
    "X-Request-ID": {
        "description": "The request's id: the one that came with it, or a new one.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
    },
    "Location": {
        "description": "The address of what was created.",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Link": {
        "description": "The page to give to people, as `rel=alternate`.",
        "schema": {"type": "string"},
    },
    "Link-Next": {
        "description": "The next page, as `rel=next`; absent on the last page.",
        "schema": {"type": "string"},
    },
    "Idempotency-Replayed": {
        "description": "Present if the call had been made before.",
        "schema": {"const": "true"},
    },
    "Ignored-Fields": {
        "description": "The fields of the export that were passed over, such as misspelt ones, "
        "percent-encoded and separated by commas; `segments.x` is the field `x` of segments. `+2` "
        "at the end is the number of those left out. Not there if every field was taken.",
        "schema": {"type": "string", "maxLength": 1000},
    },
    "Set-Cookie": {
        "description": "Lets the browser show the page for 15 minutes; absent if the "
        "link needs no unlock.",
        "schema": {"type": "string"},
    },
    "X-Share-Token": {
        "description": "With this token the report can be read for 15 minutes without "
        "another view; absent if the views are not limited or the view was counted before.",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds to wait before the next try.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "RateLimit-Policy": {
        "description": "What is limited, how many there may be (`q`), in how many seconds (`w`).",
        "schema": {"type": "string", "pattern": '^"(guesses|passwords|creates)";q=[0-9]+;w=60$'},
    },
    "RateLimit": {
        "description": "How many are left of it (`r`), and in how many seconds there is one (`t`).",
        "schema": {"type": "string", "pattern": '^"(guesses|passwords|creates)";r=0;t=[0-9]+$'},
    },
    "WWW-Authenticate": {
        "description": "The missing credential: an API key, or a link's token.",
        "schema": {"type": "string"},
    },
    "Allow": {
        "description": "The methods that this path takes.",
        "schema": {"type": "string"},
    },
}
ALWAYS = "X-Request-ID"
HTTP_ERROR = "HttpError"
"""The published name of the response of ``http_error``."""
OPTIONAL_HEADERS = {
    "Allow",
    "Ignored-Fields",
    "Link-Next",
    "Idempotency-Replayed",
    "X-Share-Token",
    "Set-Cookie",
}
"""Described headers that a response may lack."""
_HEADER_NAMES = {"Link-Next": "Link"}
"""The names on the wire of headers that are described under other names."""


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A type of problem: what its documents have in common."""

    status: HTTPStatus
    code: str
    meaning: str
    headers: tuple[str, ...] = ()


_RESPONSE_NAMES: dict[type[ServiceError], str] = {
    MalformedError: "Malformed",
    UnauthorizedError: "Unauthorized",
    PasswordRequiredError: "PasswordRequired",
    OpenRequiredError: "OpenRequired",
    NotFoundError: "NotFound",
    TooSlowError: "TooSlow",
    ConflictError: "Conflict",
    ExpiredError: "Expired",
    ExhaustedError: "Exhausted",
    TooLargeError: "TooLarge",
    InvalidError: "Invalid",
    LimitedError: "Limited",
    UnavailableError: "Unavailable",
}
"""Published names of the error responses; the names of the classes are not published."""


def name_of(error: type[ServiceError]) -> str:
    """The published name of the response of an error."""
    return _RESPONSE_NAMES[error]


PROBLEM_TYPES: dict[str, ProblemType] = dict(
    sorted(
        {
            **{
                name_of(error): ProblemType(
                    status,
                    error.code,
                    inspect.getdoc(error) or "",
                    tuple(EXTRA_HEADERS.get(error, ())),
                )
                for error, status in STATUS.items()
            },
            # Not errors of the domain: aiohttp raises the first; the second is any other exception.
            "MethodNotAllowed": ProblemType(
                HTTPStatus.METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "The path does not take this method.",
                ("Allow",),
            ),
            "InternalServerError": ProblemType(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "internal-server-error",
                "An internal error. The log has it under the request's id.",
            ),
        }.items(),
        key=lambda item: item[1].status,
    )
)
"""Every type of problem, by the name of its response, in the order of the statuses."""


def headers(*names: str) -> Json:
    """The headers of a response: ``names``, and the header that every response has."""
    return {
        _HEADER_NAMES.get(name, name): {"$ref": f"#/components/headers/{name}"}
        for name in (ALWAYS, *names)
    }


def reference(name: str) -> Json:
    """A reference to the response of a problem type."""
    return {"$ref": f"#/components/responses/{name}"}


def response(*names: str, html: bool = False) -> Json:
    """The response of the problem types of one status; ``html`` if a page may come instead."""
    types = [PROBLEM_TYPES[name] for name in names]
    schemas = list(map(_schema, types))
    content: Json = {
        CONTENT_TYPE: {
            "schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas},
            "examples": _examples(types),
        }
    }
    if html:
        content["text/html"] = {"schema": {"type": "string"}}
    return {
        "description": " Or: ".join(problem.meaning for problem in types),
        "headers": headers(*dict.fromkeys(name for problem in types for name in problem.headers)),
        "content": content,
    }


def http_error() -> Json:
    """The response to a request that HTTP itself rejects, before or beside its handler."""
    return {
        "description": "HTTP rejects the request: it is malformed (400), its head is too large "
        "(431), or the path does not take its method (405, with `Allow`).",
        # The request may be rejected before it has an id.
        "headers": {"Allow": {"$ref": "#/components/headers/Allow"}},
        "content": {
            CONTENT_TYPE: {
                "schema": schema(Problem),
                "examples": _examples([PROBLEM_TYPES["MethodNotAllowed"]]),
            }
        },
    }


def examples() -> Json:
    """An example of each type of problem, by its code."""
    return {problem.code: _example(problem) for problem in PROBLEM_TYPES.values()}


def _examples(types: list[ProblemType]) -> Json:
    return {problem.code: {"$ref": f"#/components/examples/{problem.code}"} for problem in types}


def _example(problem: ProblemType) -> Json:
    value = {
        "type": f"{TYPE_PREFIX}{problem.code}",
        "title": problem.status.phrase,
        "status": problem.status.value,
        "detail": DETAILS.get(problem.code, problem.meaning),
    }
    if problem.code == "expired":
        value["expired_at"] = TIMESTAMP
    return {"summary": problem.meaning, "value": value}


def _schema(problem: ProblemType) -> Json:
    type_ = f"{TYPE_PREFIX}{problem.code}"
    return schema(Problem) | {
        "properties": {"type": {"const": type_}, "status": {"const": problem.status.value}}
    }
