"""What a caller asks of a link, or of a list of them, checked."""

from collections.abc import Mapping
from typing import get_args

from msgspec import UNSET, UnsetType

from service.domain import clock
from service.domain.errors import InvalidError
from service.domain.links import (
    LinkFilter,
    LinkSettings,
    LinkState,
    NewSharedReport,
    SharedReportChange,
)


def validate_settings(asked: NewSharedReport | SharedReportChange, now: str) -> LinkSettings:
    """The terms that are asked for, a digest in the password's place. Raises InvalidError."""
    expires_at = _moment("expires_at", asked.expires_at)
    not_before = _moment("not_before", asked.not_before)
    if expires_at and expires_at <= now:
        raise InvalidError(f"`expires_at` is not in the future; it is {now} (UTC) now.")
    if expires_at and not_before and not_before >= expires_at:
        raise InvalidError("`not_before` is not before `expires_at`.")
    return LinkSettings(
        expires_at=expires_at,
        not_before=not_before,
        max_views=asked.max_views,
        password=asked.password,
        label=asked.label,
        modules=tuple(dict.fromkeys(asked.modules)) if asked.modules else asked.modules,
        is_active=asked.is_active if isinstance(asked, SharedReportChange) else UNSET,
    )


def read_filter(asked: Mapping[str, str]) -> LinkFilter:
    """Which links a query asks for, by LinkFilter's names; others are passed over.

    Raises InvalidError.
    """
    status = asked.get("status")
    if status is not None and status not in get_args(LinkState):
        raise InvalidError(f"`status` is one of {', '.join(get_args(LinkState))}.")
    expires_before = asked.get("expires_before")
    if expires_before is not None:
        expires_before = _parse("expires_before", expires_before)
    return LinkFilter(status=status, label=asked.get("label"), expires_before=expires_before)


def _moment(field: str, text: str | UnsetType | None) -> str | UnsetType | None:
    if text is None or text is UNSET:
        return text
    return _parse(field, text)


def _parse(field: str, text: str) -> str:
    try:
        return clock.parse(text)
    except ValueError as error:
        raise InvalidError(f"`{field}` is not an ISO 8601 date-time.") from error
