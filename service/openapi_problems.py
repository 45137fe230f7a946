"""The problems as the OpenAPI document tells them: a response for each, and the headers."""

import inspect
from dataclasses import dataclass
from http import HTTPStatus

from service.errors import ServiceError
from service.examples import DETAILS, MOMENT
from service.problems import CONTENT_TYPE, EXTRA_HEADERS, STATUS, TYPE_PREFIX, Problem
from service.schemas import Json, schema

HEADERS: dict[str, Json] = {
    "X-Request-ID": {
        "description": "The request's id: the one that came with it, or a new one.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
    },
    "Location": {
        "description": "The address of what was created.",
        "schema": {"type": "string", "format": "uri"},
    },
    "Link": {
        "description": "The page to give to people, as `rel=alternate`.",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds to wait before the next try.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "WWW-Authenticate": {
        "description": "How to bring an API key.",
        "schema": {"type": "string"},
    },
    "Allow": {
        "description": "The methods that this path takes.",
        "schema": {"type": "string"},
    },
}
ALWAYS = "X-Request-ID"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem."""

    status: HTTPStatus
    code: str
    meaning: str
    headers: tuple[str, ...] = ()


def name_of(error: type[ServiceError]) -> str:
    """The name that the document gives to the response of an error."""
    return error.__name__.removesuffix("Error")


KINDS: dict[str, Kind] = dict(
    sorted(
        {
            **{
                name_of(error): Kind(
                    status,
                    error.code,
                    inspect.getdoc(error) or "",
                    tuple(EXTRA_HEADERS.get(error, ())),
                )
                for error, status in STATUS.items()
            },
            # These two are no errors of the domain: aiohttp refuses the one, and the other is
            # whatever nobody has thought of.
            "MethodNotAllowed": Kind(
                HTTPStatus.METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "The path does not take this method.",
                ("Allow",),
            ),
            "InternalServerError": Kind(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "internal-server-error",
                "A fault of the service's own. Its log has it under the request's id.",
            ),
        }.items(),
        key=lambda item: item[1].status,
    )
)
"""Every kind of problem, by the name of its response and in the order of the statuses."""


def headers(*names: str) -> Json:
    """The headers of a response, ``names`` beside the one that every response has."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (ALWAYS, *names)}


def reference(name: str) -> Json:
    """A reference to the response of a kind of problem."""
    return {"$ref": f"#/components/responses/{name}"}


def response(name: str, *, html: bool = False) -> Json:
    """The response of a kind of problem, which for a page may also be one to be read."""
    kind = KINDS[name]
    type_ = f"{TYPE_PREFIX}{kind.code}"
    example = {
        "type": type_,
        "title": kind.status.phrase,
        "status": kind.status.value,
        "detail": DETAILS.get(kind.code, kind.meaning),
    }
    if kind.code == "expired":
        example["expired_at"] = MOMENT
    content = {
        CONTENT_TYPE: {
            "schema": schema(Problem)
            | {"properties": {"type": {"const": type_}, "status": {"const": kind.status.value}}},
            "example": example,
        }
    }
    if html:
        content["text/html"] = {"schema": {"type": "string"}}
    return {"description": kind.meaning, "headers": headers(*kind.headers), "content": content}
