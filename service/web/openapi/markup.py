"""Small things as HTML: a sentence, a piece of JSON, a schema in a few words."""

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
    """A sentence, in which what stands between backticks is code."""
    return _marked(text, _CODE, lambda match: Markup("<code>{}</code>").format(match[1]))


def pretty(value: object) -> Markup:
    """JSON to be read: indented, and its keys told from its values."""
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
        return Markup(" or ").join(type_of(each) for each in schema["anyOf"])
    if "enum" in schema:
        return Markup(" or ").join(
            Markup("<code>{}</code>").format(json.dumps(each)) for each in schema["enum"]
        )
    if schema.get("type") == "array":
        return Markup("array of {}").format(type_of(schema["items"]))
    words = str(schema.get("type", "any"))
    if "maxLength" in schema:
        low = f"{schema['minLength']}" if "minLength" in schema else "up"
        words += f", {low} to {schema['maxLength']} characters"
    return escape(words)


def _marked(text: str, pattern: re.Pattern[str], mark: Callable[[re.Match[str]], Markup]) -> Markup:
    """``text``, escaped, with ``mark`` for what matches."""
    shown, end = Markup(), 0
    for match in pattern.finditer(text):
        shown += escape(text[end : match.start()]) + mark(match)
        end = match.end()
    return shown + escape(text[end:])
