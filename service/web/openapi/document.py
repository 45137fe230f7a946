"""The OpenAPI document, made of the route table, the types and the errors themselves.

Nothing about a call is written down here a second time, so the document can't drift from what
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
    OPTIONAL_HEADERS,
    PROBLEM_TYPES,
    headers,
    name_of,
    reference,
    response,
)
from service.web.openapi.schemas import Json, components, parameter, schema
from service.web.problems import Problem
from service.web.routing import Route

_PARAMETER = re.compile(r"\{(\w+)\}")
# Where calls on one path name its parameter differently, as the share hash to view and the id to
# revoke, OpenAPI sees one path with one parameter. It gets a name that is right for each of them.
_ANY_PARAMETER = "reference"

_TAGS = {
    "Shared reports": "Public links to a video's results.",
    "Videos": "Videos and their analysis, as the platform exports them.",
    "API keys": "A user manages their own.",
    "Pages": "What the holder of a link sees in a browser.",
    "Documentation": "This API, described for programs and for people.",
    "Operations": "Is the process alive, and can it do its work.",
}
_MEANINGS = {
    HTTPStatus.OK: "Done.",
    HTTPStatus.CREATED: "Created.",
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
    kinds = [kind for each in routes for kind in (each.body, each.form, each.returns) if kind]
    tags = dict.fromkeys(route.tag for route in routes)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Shared Reports",
            "version": __version__,
            "summary": "Public links to video analysis results.",
            "description": "An owner creates a link with an API key; anyone who holds the link "
            "sees the report; the link dies when it expires or is revoked.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": server}],
        "tags": [{"name": tag, "description": _TAGS.get(tag, "")} for tag in tags],
        "paths": paths,
        "components": {
            "schemas": components([*kinds, Problem]),
            "responses": {name: response(name) for name in PROBLEM_TYPES},
            "headers": {
                name: told | {"required": name not in OPTIONAL_HEADERS}
                for name, told in HEADERS.items()
            },
            "securitySchemes": _SECURITY,
        },
    }


def _template(path: str, routes: Sequence[Route]) -> str:
    shape = _PARAMETER.sub("{}", path)
    paths = {each.path for each in routes if _PARAMETER.sub("{}", each.path) == shape}
    return path if len(paths) == 1 else shape.replace("{}", f"{{{_ANY_PARAMETER}}}")


def _operation(route: Route, template: str) -> Json:
    operation: Json = {
        "operationId": route.operation,
        "tags": [route.tag],
        "summary": route.summary,
    }
    if route.details:
        operation["description"] = route.details
    if route.owned:
        operation["security"] = [{name: []} for name in _SECURITY]
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
    for name, each in zip(names, in_path, strict=True):
        if each["name"] != name:
            each["schema"]["title"] = name
    return [
        *in_path,
        *({"name": name, "in": "query", **parameter(name, route.tag)} for name in route.query),
        *({"name": name, "in": "header", **parameter(name)} for name in route.takes),
    ]


def _responses(route: Route) -> Json:
    """Each status that the route may answer with, in their order."""
    for_people = route.tag == "Pages"
    failures: list[type[ServiceError]] = [UnavailableError, *route.problems]
    if route.owned:
        failures.append(UnauthorizedError)
    if route.body is not None:
        failures += [MalformedError, TooLargeError, TooSlowError, InvalidError]
    if route.owned or NotFoundError in route.problems:  # it takes a secret, and so guesses
        failures.append(LimitedError)
    names: dict[HTTPStatus, list[str]] = {}
    for name in dict.fromkeys(("InternalServerError", *map(name_of, failures))):
        names.setdefault(PROBLEM_TYPES[name].status, []).append(name)
    found: dict[HTTPStatus, Json] = {
        status: reference(kinds[0])
        if len(kinds) == 1 and not for_people
        # Several problems of one status, and pages, have a response of their own.
        else response(*kinds, html=for_people)
        for status, kinds in names.items()
    }
    for status in (route.status, *route.also):
        found[HTTPStatus(status)] = _success(route, HTTPStatus(status))
    if route.redirects:
        found[HTTPStatus.FOUND] = {
            "description": route.redirects,
            "headers": headers("Location"),
        }
    return {str(status.value): found[status] for status in sorted(found)}


def _success(route: Route, status: HTTPStatus) -> Json:
    return {
        "description": _MEANINGS.get(status, f"{status.phrase}."),
        "headers": headers(*route.headers),
        "content": {
            route.content_type.partition(";")[0]: {"schema": schema(route.returns)}
            | _example(route.returns)
        },
    }


def _example(kind: Any) -> Json:  # noqa: ANN401 - a type, or a form of types such as list[Video]
    if get_origin(kind) is list:
        return {key: [value] for key, value in _example(*get_args(kind)).items()}
    name = getattr(kind, "__name__", "")
    return {"example": EXAMPLES[name]} if name in EXAMPLES else {}
