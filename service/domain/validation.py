"""Validation of what a caller asks of a link or of a list of links."""

from collections.abc import Collection, Mapping
from itertools import islice
from operator import attrgetter
from typing import get_args

import msgspec

from service.domain import clock
from service.domain.errors import InvalidError
from service.domain.links import (
    LABEL_MAX,
    MODULE_NAME_MAX,
    MODULES_BYTES_MAX,
    NOTE_MAX,
    SENDER_MAX,
    LinkFilter,
    LinkSettings,
    LinkState,
    NewSharedReport,
    SharedReportChange,
)
from service.domain.normal_form import bounded_nfc, nfc

_NAMES_SHOWN = 20  # modules that an error names
_NAME_SHOWN = 50  # characters of such a name

_SHARED_FIELDS = tuple(
    name for name in LinkSettings.__struct_fields__ if name in NewSharedReport.__struct_fields__
)
_shared_values = attrgetter(*_SHARED_FIELDS)  # a loop of getattr takes four times as long


def parse_settings(asked: NewSharedReport | SharedReportChange) -> LinkSettings:
    """Return the requested settings, ready to be stored. Raises InvalidError.

    Times are cut so that a link never works longer than asked: a fraction of a second delays
    ``not_before`` and is taken off ``expires_at``.
    """
    settings = dict(zip(_SHARED_FIELDS, _shared_values(asked), strict=True))
    if isinstance(asked, SharedReportChange):
        settings["is_active"] = asked.is_active
    if isinstance(asked.expires_at, str):
        settings["expires_at"] = _parse("expires_at", asked.expires_at)
    if isinstance(asked.not_before, str):
        settings["not_before"] = _parse("not_before", asked.not_before, rounds_up=True)
    if isinstance(asked.label, str):
        settings["label"] = bounded_nfc("label", asked.label, LABEL_MAX)
    if isinstance(asked.note, str):
        settings["note"] = bounded_nfc("note", asked.note, NOTE_MAX)
    if isinstance(asked.sender, str):
        settings["sender"] = bounded_nfc("sender", asked.sender, SENDER_MAX)
    if asked.modules:
        settings["modules"] = tuple(
            dict.fromkeys(bounded_nfc("modules", name, MODULE_NAME_MAX) for name in asked.modules)
        )
        if len(msgspec.json.encode(settings["modules"])) > MODULES_BYTES_MAX:
            raise InvalidError(f"`modules` has more than {MODULES_BYTES_MAX} bytes of JSON.")
    return LinkSettings(**settings)


def match_modules(settings: LinkSettings, known: Collection[str]) -> LinkSettings:
    """Return the settings with their modules as the video spells them.

    A limit that matches none of them shows nothing, and is most likely misspelt. Beside a match,
    names of modules that a later analysis may bring are accepted, and so is any name for a video
    without an analysis. Raises InvalidError, which names what there is.
    """
    if not settings.modules or not known:
        return settings
    spelling = {nfc(name): name for name in known}
    if spelling.keys().isdisjoint(settings.modules):
        raise InvalidError(
            f"`modules`: the video has no {_listed(settings.modules)}. It has {_listed(known)}."
        )
    modules = tuple(spelling.get(name, name) for name in settings.modules)
    return msgspec.structs.replace(settings, modules=modules)


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(f"`{name[:_NAME_SHOWN]}`" for name in islice(names, _NAMES_SHOWN))
    rest = len(names) - _NAMES_SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown


def check_times(settings: LinkSettings, now: str) -> None:
    """Raise InvalidError if the times of parsed settings are in the past or out of order."""
    expires_at, not_before = settings.expires_at, settings.not_before
    if expires_at and expires_at <= now:
        raise InvalidError(f"`expires_at` is not in the future; it is {now} (UTC) now.")
    if expires_at and not_before and not_before >= expires_at:
        raise InvalidError("`not_before` is not before `expires_at`.")


def validate_settings(asked: NewSharedReport | SharedReportChange, now: str) -> LinkSettings:
    """Return the requested settings, parsed and checked. Raises InvalidError."""
    settings = parse_settings(asked)
    check_times(settings, now)
    return settings


def read_filter(query: Mapping[str, str]) -> LinkFilter:
    """Return the filter of a query, by the names of LinkFilter; other names are ignored.

    Raises InvalidError.
    """
    status = query.get("status")
    if status is not None and status not in get_args(LinkState):
        raise InvalidError(f"`status` is one of {', '.join(get_args(LinkState))}.")
    expires_before = query.get("expires_before")
    if expires_before is not None:
        expires_before = _parse("expires_before", expires_before)
    return LinkFilter(
        status=status,
        label=None if (label := query.get("label")) is None else nfc(label),
        expires_before=expires_before,
    )


def _parse(field: str, text: str, *, rounds_up: bool = False) -> str:
    try:
        return clock.parse(text, rounds_up=rounds_up)
    except ValueError as error:
        raise InvalidError(f"`{field}` is not an ISO 8601 date-time.") from error
