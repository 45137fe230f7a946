"""The OpenAPI document, laid out for the page that people read.

Everything that the page says of a call comes out of the document: what is wrong here is wrong
there, and is mended there.
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
    """A row of a table: a parameter, or a field of an object."""

    name: str
    type: Markup
    required: bool
    meaning: Markup
    place: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """One status that a call may answer with."""

    status: str
    meaning: Markup
    problem: str
    """The code of the problem that comes with it; empty where none does."""


@dataclass(frozen=True, slots=True)
class Call:
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
    """The name of the object that its request's body is; empty where it takes none."""
    fields: list[Field]
    curl: str
    returns: Markup
    example: Markup
    statuses: list[Status]


@dataclass(frozen=True, slots=True)
class Object:
    """A type of the wire."""

    name: str
    meaning: Markup
    fields: list[Field]


@dataclass(frozen=True, slots=True)
class Reference:
    """The page."""

    version: str
    description: str
    groups: list[tuple[str, str, list[Call]]]
    """Name, description and calls of each."""
    objects: list[Object]
    problems: list[tuple[str, str, Markup]]
    """Status, code and meaning of each."""
    problem: Markup
    """An example."""


def reference(document: Json, base: str) -> Reference:
    """The page of ``document``; its calls go to the service at the address ``base``."""
    reader = _Reader(document, base)
    calls = list(reader.calls())
    responses = [reader.at(each) for each in document["components"]["responses"].values()]
    return Reference(
        version=document["info"]["version"],
        description=document["info"]["description"],
        groups=[
            (tag["name"], tag["description"], [call for name, call in calls if name == tag["name"]])
            for tag in document["tags"]
        ],
        objects=[
            Object(name, prose(schema.get("description", "")), reader.fields(schema))
            for name, schema in document["components"]["schemas"].items()
        ],
        problems=[
            (str(_problem(each)["status"]), _code(each), prose(each["description"]))
            for each in responses
        ],
        problem=pretty(_problem(reader.at(document["components"]["responses"]["Expired"]))),
    )


class _Reader:
    def __init__(self, document: Json, base: str) -> None:
        self.document = document
        self.base = base

    def at(self, node: Json) -> Json:
        """What ``node`` is, or refers to."""
        found = node
        if "$ref" in node:
            found = self.document
            for step in node["$ref"].removeprefix("#/").split("/"):
                found = found[step]
        return found

    def calls(self) -> Iterator[tuple[str, Call]]:
        """Each call with the name of its group."""
        for path, item in self.document["paths"].items():
            for method, operation in item.items():
                yield operation["tags"][0], self._call(path, method.upper(), operation)

    def _call(self, path: str, method: str, operation: Json) -> Call:
        parameters = operation.get("parameters", [])
        named = {each["name"]: each["schema"].get("title", each["name"]) for each in parameters}
        body: Json = operation.get("requestBody", {}).get("content", {})
        content: Json = next(iter(body.values()), {})
        statuses = {status: self.at(each) for status, each in operation["responses"].items()}
        [(kind, success)] = next(iter(statuses.values()))["content"].items()
        return Call(
            id=operation["operationId"],
            title=_title(operation["operationId"]),
            method=method,
            path=re.sub(r"\{(\w+)\}", lambda match: f"{{{named[match[1]]}}}", path),
            summary=prose(operation["summary"]),
            details=prose(operation.get("description", "")),
            owned="security" in operation,
            parameters=[_parameter(each) for each in parameters],
            body=content.get("schema", {}).get("$ref", "").rpartition("/")[2],
            fields=self.fields(self.at(content.get("schema", {}))),
            curl=_curl(self.base, path, method, operation, body),
            returns=type_of(success["schema"]) if kind == "application/json" else escape(kind),
            example=pretty(success["example"]) if "example" in success else Markup(),
            statuses=[
                Status(status, prose(meaning), code)
                for status, each in statuses.items()
                for meaning, code in _outcomes(each)
            ],
        )

    def fields(self, schema: Json) -> list[Field]:
        """The fields of an object."""
        return [
            Field(
                name,
                type_of(each),
                name in schema.get("required", ()),
                prose(_said(each, "description") or ""),
            )
            for name, each in schema.get("properties", {}).items()
        ]


def _curl(base: str, path: str, method: str, operation: Json, bodies: Json) -> str:
    for each in operation.get("parameters", []):
        path = path.replace(f"{{{each['name']}}}", str(each.get("example", each["name"])))
    parts = [f"curl {'' if method == 'GET' else f'-X {method} '}{shlex.quote(base + path)}"]
    if "security" in operation:
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


def _said(schema: Json, key: str) -> Any:  # noqa: ANN401 - a description, or an example of any type
    """What a schema says under ``key``, itself or through the first of its alternatives."""
    return schema.get(key) or next(
        (each[key] for each in schema.get("anyOf", ()) if key in each), None
    )


def _problem(response: Json) -> Json:
    example: Json = (
        response.get("content", {}).get("application/problem+json", {}).get("example", {})
    )
    return example


def _outcomes(response: Json) -> Iterator[tuple[str, str]]:
    """What a response may mean, and the code of the problem that tells so."""
    content = response.get("content", {}).get("application/problem+json", {})
    if "examples" not in content:
        yield response["description"], _code(response)
    for code, example in content.get("examples", {}).items():
        yield example["summary"], code


def _code(response: Json) -> str:
    return str(_problem(response).get("type", "")).rpartition(":")[2]


def _title(operation_id: str) -> str:
    first, *rest = re.findall(r"[A-Z]?[a-z0-9]+", operation_id)
    return " ".join([first.capitalize(), *map(str.lower, rest)]).replace(" api", " API")
