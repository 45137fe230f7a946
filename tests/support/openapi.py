"""The OpenAPI document, as the tests read it."""

import json
import re
from typing import Any

from openapi_schema_validator import OAS31Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from service.app import ROUTES
from service.web.openapi.document import document
from service.web.routing import Route

DOCUMENT = json.loads(json.dumps(document(ROUTES, "/")))


def erased(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


OPERATIONS = {
    (method.upper(), erased(path)): operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}


REGISTRY = Registry().with_resource("urn:openapi", DRAFT202012.create_resource(DOCUMENT))


def at(node: Any) -> Any:
    """What a part of the document is, or refers to."""
    if "$ref" not in node:
        return node
    found = DOCUMENT
    for step in node["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def operation_of(route: Route) -> Any:
    return OPERATIONS[route.method, erased(route.path)]


def errors(schema: Any, value: object) -> list[str]:
    # A reference in the schema is one into the document.
    text = json.dumps(schema).replace('"#/', '"urn:openapi#/')
    return [
        f"{error.json_path}: {error.message}"
        for error in OAS31Validator(json.loads(text), registry=REGISTRY).iter_errors(value)
    ]
