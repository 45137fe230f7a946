"""Rows of the table ``shared_reports``: made of a link's settings, and mapped to domain types."""

import time
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET

from service.domain.links import (
    Link,
    LinkSettings,
    PublicReport,
    ReportWithAnalysis,
)
from service.domain.public_report import public_report_json
from service.domain.types import row_id
from service.repositories.base import ViewedLink
from service.repositories.link_mapping import SETTING_COLUMNS
from service.repositories.postgresql.create_sql import NEW_NAMES
from service.repositories.postgresql.engine.statements import Row, storable

LINK_WIDTH = 9
"""The columns of ``link_sql.LINK_COLUMNS``."""

_setting_values = attrgetter(*SETTING_COLUMNS)
_read_modules = msgspec.json.Decoder(tuple[str, ...]).decode
_read_report = msgspec.json.Decoder(PublicReport).decode


def new_row(
    share_hash: str, user_id: str, video: str, settings: LinkSettings
) -> tuple[object, ...]:
    """Return the values of a new link for ``create_sql.CREATE``, in the order of NEW_NAMES."""
    values = map(_stored, _setting_values(settings))
    return share_hash, user_id, storable(video), row_id(video), *values


def new_columns(rows: Sequence[tuple[object, ...]]) -> dict[str, Any]:
    """Return the parameters of ``create_sql.CREATE``: an array for each column.

    A column that is NULL in all rows is None: ``unnest`` fills it up, and nothing is encoded. Most
    links set a time or nothing: 18.5 µs of CPU a create from call to link, 23.9 µs with all arrays.
    """
    count = len(rows)
    return {
        name: None if values.count(None) == count else values
        for name, values in zip(NEW_NAMES, zip(*rows, strict=True), strict=True)
    }


def changed_values(settings: LinkSettings) -> Mapping[str, object]:
    """Return the parameters of ``link_sql.CHANGE`` that stand for settings."""
    values: dict[str, object] = {
        "is_active": None if settings.is_active is UNSET else settings.is_active
    }
    for name in SETTING_COLUMNS:
        value = getattr(settings, name)
        values[f"sets_{name}"] = value is not UNSET
        values[name] = _stored(value)
    return values


def _stored(value: Any) -> object:  # noqa: ANN401 - a setting of any type
    """Return a setting as its column holds it."""
    if value is UNSET:
        return None
    return msgspec.json.encode(value).decode() if isinstance(value, tuple) else value


def report_json(row: Row) -> bytes:
    """Return the PublicReport of a row of ``link_sql.PUBLIC_REPORT_COLUMNS`` as JSON."""
    share_hash, made_at, video_id, fields, created_at, updated_at, modules, shown = row
    video = (
        f'{{"id":"{video_id}",{fields},"created_at":"{created_at}",'
        f'"updated_at":"{updated_at}","modules":{modules}}}'
    )
    return public_report_json(share_hash, made_at, video, modules, shown)


def viewed_link(row: Row) -> ViewedLink:
    """Return the link of a row of ``link_sql.VIEW``, its report assembled unless protected."""
    _, _, status, expires_at, link_id = row[:5]
    content = b"" if status == "protected" else report_json(row[5:])
    return None, status, expires_at, link_id, content


def report_with_analysis(row: Row) -> ReportWithAnalysis:
    """Return what a row of ``link_sql.VIEW_WITH_ANALYSIS`` shows."""
    video = _read_report(report_json(row[LINK_WIDTH + 1 :])).video
    return ReportWithAnalysis(link_of(row), video, row[LINK_WIDTH])


def link_of(row: Row) -> Link:
    """Return the link of a row that begins with ``link_sql.LINK_COLUMNS``."""
    link_id, share_hash, modules, requires_nothing, expires_at, sender, *version = row[:LINK_WIDTH]
    video_version = ".".join(map(str, version))
    return Link(link_id, share_hash, modules, requires_nothing, expires_at, video_version, sender)


def has_expired(now: str | None, expires_at: str | None, deadline: float | None) -> bool:
    """Return whether a link may have expired by the time its row is back.

    ``now`` is the time of an injected clock. If it is None, the server's clock decides: it has made
    ``deadline``, on the clock of ``time.perf_counter`` (see ``link_sql.DEADLINE``).
    """
    if expires_at is None or deadline is None:
        return False
    if now is not None:
        return expires_at <= now
    return time.perf_counter() >= deadline
