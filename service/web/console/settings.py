"""From the fields of a form to the settings of a link, and back."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from service.domain.decoding import decode_body
from service.domain.errors import InvalidError
from service.domain.links import SharedReport
from service.web.console.fields import SETTING_NAMES, Field, title_of
from service.web.console.forms import Form

T = TypeVar("T")

UNITS = {"minutes": 60, "hours": 3_600, "days": 86_400, "weeks": 604_800}
"""The units in which a form says after how long, in seconds."""

GENERAL = ""
"""The name under which an error is listed that no field has caused."""

_AMOUNT_MAX = 10_000
_LOCAL_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2})?")
_NAMED = re.compile(r"\$\.(\w+)|`(\w+)`")
_PROGRAMS_WORDS = (
    (re.compile(r"Expected `str` of length <= ([0-9]+).*"), r"It has more than \1 characters."),
    (re.compile(r"Expected `str` of length >= 1\b.*"), "It is empty."),
    (re.compile(r"Expected `int` >= ([0-9]+).*"), r"It is a number from \1 on."),
    (re.compile(r"Expected `int` <= ([0-9]+).*"), r"It is a number up to \1."),
    (re.compile(r"Expected `array` of length <= ([0-9]+).*"), r"There may be \1 at most."),
)

Errors = dict[str, str]
"""What is wrong, in words, by the name of the field."""


class FormError(Exception):
    """The fields of a form are not acceptable."""

    def __init__(self, errors: Errors) -> None:
        super().__init__()
        self.errors = errors


def read_settings(fields: Iterable[Field], form: Form, now: str) -> dict[str, Any]:
    """Return the settings that a form asks for, as JSON has them: None for what is not set.

    A password that is to stay is left out. Raises FormError.
    """
    values: dict[str, Any] = {}
    errors: Errors = {}
    for field in fields:
        try:
            values |= _read(field, form, now)
        except ValueError as error:
            errors[field.name] = str(error)
    if errors:
        raise FormError(errors)
    return values


def decode_settings(values: Mapping[str, Any], cls: type[T]) -> T:
    """Return values as the struct that the API reads from a body. Raises FormError."""
    try:
        return decode_body(msgspec.json.encode(values), cls)
    except InvalidError as error:
        raise FormError(errors_of(error)) from error


def errors_of(error: InvalidError) -> Errors:
    """Return an error of the validation under the name of the field that it speaks of."""
    match = _NAMED.search(error.detail.rpartition(" - at ")[2]) or _NAMED.search(error.detail)
    name = (match[1] or match[2]) if match else GENERAL
    text = error.detail
    for pattern, words in _PROGRAMS_WORDS:
        if pattern.match(text):
            return {name: pattern.sub(words, text)}
    text = re.sub(r"^`\w+`: (\w)", lambda first: first[1].upper(), text)
    text = re.sub(r"^`(\w+)`", lambda named: title_of(named[1]), text)
    return {name: re.sub(r"`(\w+)`", lambda named: _quoted(named[1]), text).replace("`", "")}


def _quoted(name: str) -> str:
    """Return the title of a setting in quotation marks; a name that is none as it is."""
    return f"“{title_of(name)}”" if name in SETTING_NAMES else name


def form_of(report: SharedReport, fields: Iterable[Field]) -> Form:
    """Return the form that shows the settings of a link as they are."""
    pairs: list[tuple[str, str]] = []
    for field in fields:
        pairs += _shown(field, report)
    return Form(pairs)


def _shown(field: Field, report: SharedReport) -> list[tuple[str, str]]:
    name = field.name
    if field.kind == "password":
        return [(f"{name}-mode", "keep" if report.has_password else "none")]
    if field.kind == "switch":
        return [] if report.status == "inactive" else [(name, "on")]
    value = getattr(report, name)
    if field.kind == "time":
        local = value.removesuffix(":00") if value else ""
        return [(f"{name}-mode", "at" if value else "none"), (f"{name}-at", local)]
    if field.kind == "modules":
        mode = "all" if value is None else "some"
        return [(f"{name}-mode", mode), *((name, module) for module in value or ())]
    return [(name, "" if value is None else str(value))]


def _read(field: Field, form: Form, now: str) -> dict[str, Any]:
    """Return the value of one field by its name. Raises ValueError, in words."""
    name, text = field.name, form.text(field.name)
    match field.kind:
        case "switch":
            return {name: text == "on"}
        case "number":
            return {name: _number(text) if text.strip() else None}
        case "time":
            return {name: _time(name, form, now)}
        case "modules":
            return {name: _modules(name, form)}
        case "password":
            return _password(name, form)
        case _:
            return {name: text.strip() or None}


def _number(text: str) -> int:
    digits = text.strip().replace(" ", "")
    if not re.fullmatch(r"[0-9]{1,12}", digits):
        raise ValueError("Give a whole number, or leave it empty.")
    return int(digits)


def _time(name: str, form: Form, now: str) -> str | None:
    mode = form.text(f"{name}-mode")
    if mode == "after":
        amount, unit = form.text(f"{name}-number").strip(), form.text(f"{name}-unit")
        is_number = re.fullmatch(r"[0-9]{1,5}", amount)
        if not is_number or not 1 <= int(amount) <= _AMOUNT_MAX or unit not in UNITS:
            raise ValueError(f"Give a whole number from 1 to {_AMOUNT_MAX:,}, and a unit.")
        start = datetime.fromisoformat(now).replace(tzinfo=UTC)
        moment = start + timedelta(seconds=int(amount) * UNITS[unit])
        return moment.replace(tzinfo=None).isoformat()
    if mode == "at":
        text = form.text(f"{name}-at")
        if not _LOCAL_TIME.fullmatch(text):
            raise ValueError("Give a date and a time.")
        return text if text.count(":") > 1 else f"{text}:00"
    if mode == "none":
        return None
    raise ValueError("Choose one of these.")


def _modules(name: str, form: Form) -> list[str] | None:
    mode = form.text(f"{name}-mode")
    if mode == "all":
        return None
    others = [line.strip() for line in form.text(f"{name}-other").split("\n")]
    modules = list(dict.fromkeys([*form.all(name), *filter(None, others)]))
    if mode != "some" or not modules:
        raise ValueError("Choose at least one module, or show everything.")
    return modules


def _password(name: str, form: Form) -> dict[str, Any]:
    mode = form.text(f"{name}-mode")
    if mode == "keep":
        return {}
    if mode == "new":
        if not form.text(name):
            raise ValueError("Give a password.")
        return {name: form.text(name)}
    if mode == "none":
        return {name: None}
    raise ValueError("Choose one of these.")
