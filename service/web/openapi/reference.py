"""The reference page: the OpenAPI document, laid out for people.

All that the page says of an operation comes from the document.
"""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from service.aiohttp_ext.response import FORM, JSON
from service.web.openapi.markup import pretty, prose, type_of
from service.web.openapi.schemas import Json

_LINE = 60  # characters; a body that is longer goes over several lines


@dataclass(frozen=True, slots=True)
class Field:
    """A row of a table: a parameter, or a field of a schema."""

    name: str
    type: Markup
    required: bool
    meaning: Markup
    place: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """One status of an operation's responses."""

    status: str
    meaning: Markup
    problem: str
    """The code of its problem; empty if it has none."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One section of the page."""

    id: str
    title: str
    method: str
    path: str
    summary: Markup
    details: Markup
    owned: bool
    parameters: list[Field]
    body: str
    """The name of the schema of its request's body; empty if it takes none."""
    fields: list[Field]
    curl: str
    returns: Markup
    example: Markup
    statuses: list[Status]


@dataclass(frozen=True, slots=True)
class Schema:
    """A type of request or response bodies."""

    name: str
    meaning: Markup
    fields: list[Field]


@dataclass(frozen=True, slots=True)
class Reference:
    """The page."""

    version: str
    description: str
    groups: list[tuple[str, str, list[Operation]]]
    """Name, description and operations of each."""
    schemas: list[Schema]
    problems: list[tuple[str, str, Markup]]
    """Status, code and meaning of each."""
    problem: Markup
    """An example."""


def reference(document: Json, base: str) -> Reference:
    """The page of ``document``, whose curl lines call the service at the address ``base``."""
    reader = _Reader(document, base)
    operations = list(reader.operations())
    problems = document["components"]["examples"]
    return Reference(
        version=document["info"]["version"],
        description=document["info"]["description"],
        groups=[
            (
                tag["name"],
                tag["description"],
                [operation for name, operation in operations if name == tag["name"]],
            )
            for tag in document["tags"]
        ],
        schemas=[
            Schema(name, prose(schema.get("description", "")), reader.fields(schema))
            for name, schema in document["components"]["schemas"].items()
        ],
        problems=[
            (str(example["value"]["status"]), code, prose(example["summary"]))
            for code, example in problems.items()
        ],
        problem=pretty(problems["expired"]["value"]),
    )


class _Reader:
    def __init__(self, document: Json, base: str) -> None:
        self.document = document
        self.base = base

    def at(self, node: Json) -> Json:
        """The node itself, or the node that it refers to."""
        if "$ref" not in node:
            return node
        target = self.document
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return target

    def operations(self) -> Iterator[tuple[str, Operation]]:
        """Each operation with the name of its group."""
        for path, item in self.document["paths"].items():
            for method, operation in item.items():
                yield operation["tags"][0], self._operation(path, method.upper(), operation)

    def _operation(self, path: str, method: str, operation: Json) -> Operation:
        parameters = operation.get("parameters", [])
        titles = {item["name"]: item["schema"].get("title", item["name"]) for item in parameters}
        body: Json = operation.get("requestBody", {}).get("content", {})
        content: Json = next(iter(body.values()), {})
        responses = {status: self.at(node) for status, node in operation["responses"].items()}
        media_type, success = next(iter(next(iter(responses.values()))["content"].items()))
        return Operation(
            id=operation["operationId"],
            title=_title(operation["operationId"]),
            method=method,
            path=re.sub(r"\{(\w+)\}", lambda match: f"{{{titles[match[1]]}}}", path),
            summary=prose(operation["summary"]),
            details=prose(operation.get("description", "")),
            owned=bool(operation["security"]),
            parameters=list(map(_parameter, parameters)),
            body=content.get("schema", {}).get("$ref", "").rpartition("/")[2],
            fields=self.fields(self.at(content.get("schema", {}))),
            curl=_curl(self.base, path, method, operation, body),
            returns=type_of(success["schema"]) if media_type == JSON else escape(media_type),
            example=pretty(success["example"]) if "example" in success else Markup(),
            statuses=[
                Status(status, prose(meaning), code)
                for status, response in responses.items()
                for meaning, code in self._outcomes(response)
            ],
        )

    def _outcomes(self, response: Json) -> Iterator[tuple[str, str]]:
        """The meanings of a response, each with the code of its problem."""
        content = response.get("content", {}).get("application/problem+json", {})
        problems = content.get("examples", {})
        if len(problems) < 2:  # noqa: PLR2004 - one problem has the meaning of its response
            yield response["description"], next(iter(problems), "")
            return
        for code, node in problems.items():
            yield self.at(node)["summary"], code

    def fields(self, schema: Json) -> list[Field]:
        """The fields of a schema."""
        return [
            Field(
                name,
                type_of(field),
                name in schema.get("required", ()),
                prose(_annotation(field, "description") or ""),
            )
            for name, field in schema.get("properties", {}).items()
        ]


def _curl(base: str, path: str, method: str, operation: Json, bodies: Json) -> str:
    for item in operation.get("parameters", []):
        path = path.replace(f"{{{item['name']}}}", str(item.get("example", item["name"])))
    parts = [f"curl {'' if method == 'GET' else f'-X {method} '}{shlex.quote(base + path)}"]
    if operation["security"]:
        parts.append('-H "Authorization: $LVZ_KEY"')
    if FORM in bodies:
        fields = bodies[FORM]["example"].items()
        parts += [f"--data-urlencode {shlex.quote(f'{name}={text}')}" for name, text in fields]
    if JSON in bodies:
        example = bodies[JSON]["example"]
        body = json.dumps(example, ensure_ascii=False)
        if len(body) > _LINE:
            body = json.dumps(example, ensure_ascii=False, indent=2)
        parts += [f'-H "Content-Type: {JSON}"', f"-d {shlex.quote(body)}"]
    return " \\\n  ".join(parts)


def _parameter(parameter: Json) -> Field:
    schema = parameter["schema"]
    return Field(
        schema.get("title", parameter["name"]),
        type_of(schema),
        parameter.get("required", False),
        prose(parameter.get("description", "")),
        parameter["in"],
    )


def _annotation(schema: Json, key: str) -> Any:  # noqa: ANN401 - a description, or an example of any type
    """The value of ``key`` in a schema, or in the first of its alternatives that has it."""
    return schema.get(key) or next(
        (option[key] for option in schema.get("anyOf", ()) if key in option), None
    )


def _title(operation_id: str) -> str:
    first, *rest = re.findall(r"[A-Z]?[a-z0-9]+", operation_id)
    return " ".join([first.capitalize(), *map(str.lower, rest)]).replace(" api", " API")
