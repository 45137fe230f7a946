"""The OpenAPI document is valid and whole."""

import dataclasses
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from openapi_spec_validator import validate
from support.docs import ROOT
from support.harness import Start
from support.openapi import DOCUMENT, OPERATIONS, at, erased, errors, operation_of

from service.app import ROUTES
from service.config import Config
from service.web.openapi.document import document
from service.web.problems import STATUS, TYPE_PREFIX


def contents(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every schema of the document that has an example beside it, with each example."""
    if isinstance(node, dict):
        if "schema" in node and "example" in node:
            yield node["schema"], node["example"]
        for example in node["examples"].values() if "schema" in node and "examples" in node else ():
            yield node["schema"], at(example)["value"]
        for each in node.values():
            yield from contents(each)
    elif isinstance(node, list):
        for each in node:
            yield from contents(each)


def test_openapi_document_is_valid() -> None:
    validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1")


def test_openapi_document_lists_exactly_the_routes() -> None:
    assert {(route.method, erased(route.path)) for route in ROUTES} == set(OPERATIONS)
    assert len(OPERATIONS) == len(ROUTES)
    # Two paths that differ by the names of their parameters only are one to OpenAPI.
    assert len({erased(path) for path in DOCUMENT["paths"]}) == len(DOCUMENT["paths"])


def test_openapi_operations_have_unique_names() -> None:
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names)
    assert {
        "createSharedReport",
        "viewSharedReport",
        "revokeSharedReport",
        "listSharedReports",
        "putVideo",
    } <= set(names)


def test_openapi_operations_require_a_key_where_the_routes_do() -> None:
    for route in ROUTES:
        security = operation_of(route).get("security")
        assert security == ([{"apiKey": []}, {"bearer": []}] if route.owned else []), route.path


def problems_of(response: Any) -> set[str]:
    content = response.get("content", {}).get("application/problem+json", {})
    return set(content.get("examples", {}))


def test_openapi_document_lists_every_problem() -> None:
    every = {error.code for error in STATUS} | {"method-not-allowed", "internal-server-error"}
    examples = DOCUMENT["components"]["examples"]
    assert set(examples) == every
    for code, example in examples.items():
        assert example["value"]["type"] == f"{TYPE_PREFIX}{code}"
    told = {
        code
        for operation in OPERATIONS.values()
        for response in operation["responses"].values()
        for code in problems_of(at(response))
    }
    assert told == every


def test_openapi_fields_have_descriptions() -> None:
    for operation in OPERATIONS.values():
        assert operation["summary"], operation["operationId"]
        assert operation["description"], operation["operationId"]
        for parameter in operation.get("parameters", []):
            assert parameter["description"], (operation["operationId"], parameter["name"])
    assert [tag for tag in DOCUMENT["tags"] if not tag["description"]] == []
    for name, schema in DOCUMENT["components"]["schemas"].items():
        for field, each in schema["properties"].items():
            # A field that is an object says what it is there; Health speaks for itself.
            said = {"description", "$ref"} & set(re.findall(r"[$\w]+", json.dumps(each)))
            said = said or name == "Health"
            assert said, f"{name}.{field}"


def test_openapi_examples_are_valid() -> None:
    found = list(contents(DOCUMENT))
    assert len(found) > 20
    for schema, example in found:
        assert errors(schema, example) == []


def test_openapi_json_responses_have_examples() -> None:
    for operation in OPERATIONS.values():
        for response in operation["responses"].values():
            content = at(response).get("content", {}).get("application/json", {})
            if operation["operationId"] != "getApiDescription":  # it is its own example
                assert ("example" in content) == bool(content), operation["operationId"]


def test_openapi_document_describes_the_segments_of_an_export() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    items = schemas["Export"]["properties"]["segments"]["items"]
    assert at(items)["required"] == ["module", "start_time", "end_time"]
    assert {"SharedReportResponse", "VideoResponse", "ApiKeyResponse"} <= set(schemas)


async def test_openapi_document_is_served_with_the_public_address(
    start: Start, config: Config
) -> None:
    service = await start()
    assert (await service.public.get("/openapi.json")).json == DOCUMENT
    public = dataclasses.replace(
        config,
        base_url="https://reports.example.com/v1",
        database=config.sqlite_file.with_name("other.sqlite3"),
    )
    served = (await (await start(config=public)).public.get("/openapi.json")).json
    assert served["servers"] == [{"url": "https://reports.example.com/v1"}]


def test_published_document_is_the_one_in_docs() -> None:
    """A change of the published document is a change of this file, and seen in its diff."""
    published = (ROOT / "docs/openapi.json").read_bytes()
    current = msgspec.json.encode(document(ROUTES, "/"))
    assert msgspec.json.format(current, indent=2) + b"\n" == published
