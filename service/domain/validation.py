"""Checks of link settings and of filters for lists of links."""

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


def validate_settings(request: NewSharedReport | SharedReportChange, now: str) -> LinkSettings:
    """The settings that a request has, ready to store. Its password is a digest already.

    Raises InvalidError.
    """
    expires_at = _moment("expires_at", request.expires_at)
    not_before = _moment("not_before", request.not_before)
    if expires_at and expires_at <= now:
        raise InvalidError(f"`expires_at` is not in the future; it is {now} (UTC) now.")
    if expires_at and not_before and not_before >= expires_at:
        raise InvalidError("`not_before` is not before `expires_at`.")
    return LinkSettings(
        expires_at=expires_at,
        not_before=not_before,
        max_views=request.max_views,
        password=request.password,
        label=request.label,
        modules=tuple(dict.fromkeys(request.modules)) if request.modules else request.modules,
        is_active=request.is_active if isinstance(request, SharedReportChange) else UNSET,
    )


def read_filter(query: Mapping[str, str]) -> LinkFilter:
    """The filter of a query, whose parameters have the names of LinkFilter's fields.

    Raises InvalidError.
    """
    status = query.get("status")
    if status is not None and status not in get_args(LinkState):
        raise InvalidError(f"`status` is one of {', '.join(get_args(LinkState))}.")
    expires_before = query.get("expires_before")
    if expires_before is not None:
        expires_before = _parse("expires_before", expires_before)
    return LinkFilter(status=status, label=query.get("label"), expires_before=expires_before)


def _moment(field: str, text: str | UnsetType | None) -> str | UnsetType | None:
    if text is None or text is UNSET:
        return text
    return _parse(field, text)


def _parse(field: str, text: str) -> str:
    try:
        return clock.parse(text)
    except ValueError as error:
        raise InvalidError(f"`{field}` is not an ISO 8601 date-time.") from error
