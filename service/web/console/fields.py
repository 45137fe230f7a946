"""The settings of a link as fields of a form, made of ``LinkSettings``.

A new setting is a field here as soon as it is one there: its kind follows from its type, its
explanation from its description. ``TITLES`` may give it a better name.
"""

import re
from dataclasses import dataclass
from typing import Literal, cast

from msgspec import inspect

from service.domain.links import LinkSettings, NewSharedReport

Kind = Literal["time", "number", "text", "long text", "password", "modules", "switch"]

TITLES = {
    "label": "Label",
    "expires_at": "Expires",
    "not_before": "Begins to work",
    "max_views": "Views allowed",
    "is_active": "Switched on",
}
"""Names of settings, in the order of the form; the others follow under their own names."""

_HELP = {
    "label": "Your name for the link; viewers do not see it.",
    "note": "Your remarks; viewers do not see them.",
    "sender": "Who shares the report: shown on its page.",
    "expires_at": "The link stops working at this moment, for good.",
    "not_before": "Before this moment nobody sees that there is a report.",
    "max_views": "How often the report may be opened. Empty: any number.",
    "password": "Viewers have to enter it. It is stored as a digest, and never shown again.",
    "modules": "Other parts of the analysis appear nowhere, not even by name.",
    "is_active": "A link that is switched off looks as if it did not exist.",
}
_LONG = 200
"""Characters of a text, above which its field has several lines."""
_FOR_PROGRAMS = re.compile(r" \(ISO 8601\)|[;,] (?:in at most [0-9]+ bytes; )?null for [^.;]*")


@dataclass(frozen=True, slots=True)
class Field:
    """One setting as a field of a form."""

    name: str
    title: str
    help: str
    kind: Kind
    length: int | None = None
    """Characters of a text at most."""
    low: int | None = None
    high: int | None = None
    """The bounds of a number."""


def title_of(name: str) -> str:
    """Return the title of a setting."""
    return TITLES.get(name, name.replace("_", " ").capitalize())


def field_of(name: str, setting: inspect.Type) -> Field:
    """Return the field of a setting of this type. Raises TypeError for a type without a form."""
    description = ""
    while isinstance(setting, inspect.Metadata | inspect.UnionType):
        if isinstance(setting, inspect.Metadata):
            description = (setting.extra_json_schema or {}).get("description", description)
            setting = setting.type
        else:
            [setting] = [part for part in setting.types if not isinstance(part, inspect.NoneType)]
    help_text = _HELP.get(name, _FOR_PROGRAMS.sub("", description))
    match setting:
        case inspect.StrType(max_length=length) if name == "password":
            return Field(name, title_of(name), help_text, "password", length=length)
        case inspect.BoolType():
            return Field(name, title_of(name), help_text, "switch")
        case inspect.IntType(ge=low, le=high):
            return Field(name, title_of(name), help_text, "number", low=low, high=high)
        case inspect.VarTupleType():
            return Field(name, title_of(name), help_text, "modules")
        case inspect.StrType(max_length=None):
            return Field(name, title_of(name), help_text, "time")
        case inspect.StrType(max_length=int(length)):
            kind: Kind = "long text" if length > _LONG else "text"
            return Field(name, title_of(name), help_text, kind, length=length)
    raise TypeError(f"the console has no field for the setting {name}")


def _ordered(fields: dict[str, Field]) -> tuple[Field, ...]:
    order = [*TITLES, *(name for name in fields if name not in TITLES)]
    return tuple(fields[name] for name in order if name in fields)


_SETTINGS = cast("inspect.StructType", inspect.type_info(LinkSettings)).fields

FIELDS = _ordered({setting.name: field_of(setting.name, setting.type) for setting in _SETTINGS})
"""The fields of the form that changes a link."""

SETTING_NAMES = frozenset(field.name for field in FIELDS)

NEW_FIELDS = tuple(field for field in FIELDS if field.name in NewSharedReport.__struct_fields__)
"""The fields of the form that creates one."""
