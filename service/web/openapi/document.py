"""The OpenAPI document, generated from the route table, the types and the errors.

Nothing about an operation is written here a second time, so the document cannot differ from what
the service does.
"""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, get_args, get_origin

from service import __version__
from service.aiohttp_ext.response import FORM, JSON
from service.domain.errors import (
    InvalidError,
    LimitedError,
    MalformedError,
    NotFoundError,
    ServiceError,
    TooLargeError,
    TooSlowError,
    UnauthorizedError,
    UnavailableError,
)
from service.web.openapi.examples import EXAMPLES
from service.web.openapi.responses import (
    HEADERS,
    HTTP_ERROR,
    OPTIONAL_HEADERS,
    PROBLEM_TYPES,
    examples,
    headers,
    http_error,
    name_of,
    reference,
    response,
)
from service.web.openapi.schemas import Json, components, parameter, schema
from service.web.problems import Problem
from service.web.routing import Route

_PARAMETER = re.compile(r"\{(\w+)\}")
# Operations on one path may name its parameter differently: a share hash to view, an id to revoke.
# OpenAPI sees one path with one parameter, so the parameter gets a name that fits both.
_ANY_PARAMETER = "reference"

_TAGS = {
    "Shared reports": "Public links to a video's results.",
    "Videos": "Videos and their analysis, as the platform exports them.",
    "API keys": "A user manages their own.",
    "Webhooks": "Events, delivered to a URL of their user as they happen.",
    "Pages": "What the holder of a link sees in a browser.",
    "Documentation": "This API, described for programs and for people.",
    "Operations": "Is the process alive, and can it do its work.",
}
_MEANINGS = {
    HTTPStatus.OK: "Done.",
    HTTPStatus.CREATED: "Created.",
    HTTPStatus.ACCEPTED: "Accepted; it is made soon.",
    HTTPStatus.SEE_OTHER: "Open; the page is at `Location`.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not ready; `checks` says why.",
}
_SECURITY = {
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "The API key, bare: `Authorization: lvz_live_…`.",
    },
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "The same key: `Authorization: Bearer lvz_live_…`.",
    },
}


def document(routes: Sequence[Route], server: str) -> Json:
    """The OpenAPI 3.1 document of ``routes``, whose paths stand below the address ``server``."""
    paths: Json = {}
    for route in routes:
        operation = _operation(route, _template(route.path, routes))
        paths.setdefault(_template(route.path, routes), {})[route.method.lower()] = operation
    types = [cls for route in routes for cls in (route.body, route.form, route.returns) if cls]
    tags = dict.fromkeys(route.tag for route in routes)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Shared Reports",
            "version": __version__,
            "summary": "Public links to video analysis results.",
            "description": "An owner creates a link with an API key; anyone who holds the "
            "link sees the report until the link expires or is revoked.",
            "contact": {"name": "The operator of this service"},
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": server}],
        "tags": [{"name": tag, "description": _TAGS.get(tag, "")} for tag in tags],
        "paths": paths,
        "components": {
            "schemas": components([*types, Problem]),
            "responses": {
                name: http_error() if name == HTTP_ERROR else response(name)
                for name in (HTTP_ERROR, *PROBLEM_TYPES)
                if _is_used(name, paths)
            },
            "examples": examples(),
            "headers": {
                name: header | {"required": name not in OPTIONAL_HEADERS}
                for name, header in HEADERS.items()
            },
            "securitySchemes": _SECURITY,
        },
    }


def _template(path: str, routes: Sequence[Route]) -> str:
    shape = _PARAMETER.sub("{}", path)
    paths = {route.path for route in routes if _PARAMETER.sub("{}", route.path) == shape}
    return path if len(paths) == 1 else shape.replace("{}", f"{{{_ANY_PARAMETER}}}")


def _operation(route: Route, template: str) -> Json:
    operation: Json = {
        "operationId": route.operation,
        "tags": [route.tag],
        "summary": route.summary,
    }
    if route.details:
        operation["description"] = route.details
    operation["security"] = [{name: []} for name in _SECURITY] if route.owned else []
    if parameters := _parameters(route, template):
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {JSON: {"schema": schema(route.body)} | _example(route.body)},
        }
    if route.form is not None:
        operation["requestBody"] = {
            "content": {FORM: {"schema": schema(route.form)} | _example(route.form)}
        }
    return operation | {"responses": _responses(route)}


def _parameters(route: Route, template: str) -> list[Json]:
    names = _PARAMETER.findall(route.path)
    in_path = [
        {"name": shown, "in": "path", "required": True, **parameter(name)}
        for name, shown in zip(names, _PARAMETER.findall(template), strict=True)
    ]
    for name, item in zip(names, in_path, strict=True):
        if item["name"] != name:
            item["schema"]["title"] = name
    return [
        *in_path,
        *({"name": name, "in": "query", **parameter(name, route.tag)} for name in route.query),
        *({"name": name, "in": "header", **parameter(name)} for name in route.takes),
    ]


def _responses(route: Route) -> Json:
    """The route's responses by status, in ascending order."""
    for_people = route.tag == "Pages"
    failures: list[type[ServiceError]] = [UnavailableError, *route.problems]
    if route.owned:
        failures += [UnauthorizedError, InvalidError]
        if route.query or "{" in route.path:  # an escape in them may be no UTF-8
            failures.append(MalformedError)
    if route.body is not None:
        failures += [MalformedError, TooLargeError, TooSlowError, InvalidError]
    if route.owned or NotFoundError in route.problems:  # it takes a secret, so guesses are limited
        failures.append(LimitedError)
    names: dict[HTTPStatus, list[str]] = {}
    for name in dict.fromkeys(("InternalServerError", *map(name_of, failures))):
        names.setdefault(PROBLEM_TYPES[name].status, []).append(name)
    responses: dict[HTTPStatus, Json] = {
        status: reference(types[0])
        if len(types) == 1 and not for_people
        # Several problems of one status, and pages, have a response of their own.
        else response(*types, html=for_people)
        for status, types in names.items()
    }
    for status in (route.status, *route.also):
        responses[HTTPStatus(status)] = _success(route, HTTPStatus(status))
    if route.redirects:
        responses[HTTPStatus.FOUND] = {
            "description": route.redirects,
            "headers": headers("Location"),
        }
    by_code = {str(status.value): responses[status] for status in sorted(responses)}
    # Each operation has a response for success and one for an error of the client.
    if not any(code.startswith("4") for code in by_code):
        by_code["4XX"] = reference(HTTP_ERROR)
    if not any(code.startswith("2") for code in by_code):
        by_code["default"] = reference(HTTP_ERROR)
    return by_code


def _is_used(name: str, paths: Json) -> bool:
    """Whether an operation refers to a response of the components."""
    return any(
        node == reference(name)
        for item in paths.values()
        for operation in item.values()
        for node in operation["responses"].values()
    )


def _success(route: Route, status: HTTPStatus) -> Json:
    content: Json = {
        route.content_type.partition(";")[0]: {"schema": schema(route.returns)}
        | _example(route.returns)
    }
    if route.has_page:
        content["text/html"] = {"schema": {"type": "string"}}
    return {
        "description": _MEANINGS.get(status, f"{status.phrase}."),
        "headers": headers(*route.headers),
        "content": content,
    }


def _example(cls: Any) -> Json:  # noqa: ANN401 - a type, or a form of types such as list[Video]
    if get_origin(cls) is list:
        return {key: [value] for key, value in _example(*get_args(cls)).items()}
    name = getattr(cls, "__name__", "")
    return {"example": EXAMPLES[name]} if name in EXAMPLES else {}
