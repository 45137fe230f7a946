"""Rows of the table ``shared_reports``: made of a link's settings, and mapped to domain types."""

from typing import Any

import msgspec
from msgspec import UNSET

from service.domain.errors import ConflictError, InvalidError, NotFoundError, ServiceError
from service.domain.idempotency import IdempotencyRecord
from service.domain.links import (
    ACTIVE_STATES,
    Link,
    LinkSettings,
    PublicReport,
    ReportWithAnalysis,
    SharedReport,
)
from service.domain.public_report import public_report_json
from service.domain.types import row_id
from service.repositories.base import ViewedLink
from service.repositories.sqlite.engine.statements import Row
from service.repositories.sqlite.link_sql import REPORT_FIELDS, SETTING_COLUMNS

LINK_WIDTH = len(Link.__struct_fields__)
_REPORT_AT = LINK_WIDTH + 3  # behind ANALYSIS_COLUMNS

_read_modules = msgspec.json.Decoder(tuple[str, ...]).decode
_read_report = msgspec.json.Decoder(PublicReport).decode


def encode_json(value: object) -> str:
    """Return a value as JSON text."""
    return msgspec.json.encode(value).decode()


def new_row(
    share_hash: str,
    user_id: str,
    video: str,
    settings: LinkSettings,
    record: IdempotencyRecord | None,
) -> tuple[object, ...]:
    """Return the values of a new link for ``link_sql.CREATE``, without its time."""
    request = (None, None) if record is None else (record.key, record.body)
    values = [_stored(getattr(settings, name)) for name in SETTING_COLUMNS]
    return share_hash, user_id, video, row_id(video), *values, *request


def _stored(value: Any) -> object:  # noqa: ANN401 - a setting of any type
    """Return a setting as its column holds it."""
    if value is UNSET:
        return None
    return encode_json(value) if isinstance(value, tuple) else value


def shared_report(row: Row) -> SharedReport:
    """Return the link of a row of ``link_sql.report_columns``."""
    values = dict(zip(REPORT_FIELDS, row, strict=True))
    values["id"] = str(values["id"])
    values["video_id"] = str(values["video_id"])
    values["is_active"] = 1 if values["status"] in ACTIVE_STATES else 0
    if values["modules"] is not None:
        values["modules"] = _read_modules(values["modules"])
    return SharedReport(**values)


def viewed_link(row: Row) -> ViewedLink:
    """Return the link of a row of ``link_sql.VIEW``, its report assembled unless protected."""
    valid_until, status, expires_at, link_id, *report = row
    content = b"" if status == "protected" else public_report_json(*report)
    return valid_until, status, expires_at, link_id, content


def analysis_of(row: Row) -> Row:
    """Return the columns ``ANALYSIS_COLUMNS`` of a row of ``link_sql.VIEW_WITH_ANALYSIS``."""
    return row[LINK_WIDTH:_REPORT_AT]


def report_with_analysis(row: Row, segments: bytes) -> ReportWithAnalysis:
    """Return what a row of ``link_sql.VIEW_WITH_ANALYSIS`` shows, with its analysis."""
    report = row[_REPORT_AT:]
    video = _read_report(public_report_json(*report)).video
    return ReportWithAnalysis(link_of(row), video, segments)


def link_of(row: Row) -> Link:
    """Return the link of a row that begins with ``link_sql.LINK_COLUMNS``."""
    link_id, share_hash, modules, requires_nothing, expires_at, video_version = row[:LINK_WIDTH]
    return Link(link_id, share_hash, modules, bool(requires_nothing), expires_at, video_version)


def change_error(rows: list[Row]) -> ServiceError:
    """Return why a link was not changed, by the rows of ``link_sql.EXPLAIN_CHANGE``."""
    if not rows:
        return NotFoundError("No such shared report.")
    [(is_ordered, status, expires_at)] = rows
    if not is_ordered:
        return InvalidError("`not_before` is not before `expires_at`.")
    if status == "exhausted":
        return ConflictError("This link's views are used up: it needs more `max_views`, too.")
    return ConflictError(
        f"This link expired at {expires_at} (UTC): it needs a new `expires_at`, too."
    )
