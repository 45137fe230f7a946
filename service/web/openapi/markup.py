"""HTML of a sentence, of JSON, and of a schema's type."""

import json
import re
from collections.abc import Callable

from markupsafe import Markup, escape

from service.web.openapi.schemas import Json

_CODE = re.compile(r"`{1,2}([^`]+)`{1,2}")
_TOKEN = re.compile(
    r"""
    (?P<key>"(?:[^"\\]|\\.)*")(?=:)
    | (?P<text>"(?:[^"\\]|\\.)*")
    | (?P<word>true|false|null|-?[0-9][0-9.eE+-]*)
    """,
    re.VERBOSE,
)


def prose(text: str) -> Markup:
    """A sentence; text between backticks is code."""
    return _marked(text, _CODE, lambda match: Markup("<code>{}</code>").format(match[1]))


def pretty(value: object) -> Markup:
    """Indented JSON, its keys and values marked up for colours."""
    return _marked(
        json.dumps(value, ensure_ascii=False, indent=2),
        _TOKEN,
        lambda match: Markup('<span class="{}">{}</span>').format(match.lastgroup, match[0]),
    )


def type_of(schema: Json) -> Markup:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Markup('<a href="#{0}">{0}</a>').format(name)
    if "anyOf" in schema:
        return Markup(" or ").join(map(type_of, schema["anyOf"]))
    if "enum" in schema:
        return Markup(" or ").join(
            Markup("<code>{}</code>").format(json.dumps(value)) for value in schema["enum"]
        )
    if schema.get("type") == "array":
        return Markup("array of {}").format(type_of(schema["items"]))
    words = str(schema.get("type", "any"))
    if "maxLength" in schema:
        low = f"{schema['minLength']}" if "minLength" in schema else "up"
        words += f", {low} to {schema['maxLength']} characters"
    return escape(words)


def _marked(text: str, pattern: re.Pattern[str], mark: Callable[[re.Match[str]], Markup]) -> Markup:
    """``text``, escaped, with each match replaced by its ``mark``."""
    shown, end = Markup(), 0
    for match in pattern.finditer(text):
        shown += escape(text[end : match.start()]) + mark(match)
        end = match.end()
    return shown + escape(text[end:])
