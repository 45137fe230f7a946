"""Validation of what a caller asks of a link or of a list of links."""

import unicodedata
from collections.abc import Mapping
from operator import attrgetter
from typing import get_args

import msgspec

from service.domain import clock
from service.domain.errors import InvalidError
from service.domain.links import (
    MODULES_BYTES_MAX,
    LinkFilter,
    LinkSettings,
    LinkState,
    NewSharedReport,
    SharedReportChange,
)

_SHARED_FIELDS = tuple(
    name for name in LinkSettings.__struct_fields__ if name in NewSharedReport.__struct_fields__
)
_shared_values = attrgetter(*_SHARED_FIELDS)  # a loop of getattr takes four times as long


def nfc(text: str) -> str:
    """Return a text in Unicode's form NFC, so that texts that look equal are equal."""
    return unicodedata.normalize("NFC", text)


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
        settings["label"] = nfc(asked.label)
    if isinstance(asked.note, str):
        settings["note"] = nfc(asked.note)
    if asked.modules:
        settings["modules"] = tuple(dict.fromkeys(asked.modules))
        if len(msgspec.json.encode(settings["modules"])) > MODULES_BYTES_MAX:
            raise InvalidError(f"`modules` has more than {MODULES_BYTES_MAX} bytes of JSON.")
    return LinkSettings(**settings)


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
