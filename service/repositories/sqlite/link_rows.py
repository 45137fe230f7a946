"""Rows of the table ``shared_reports``: made of a link's settings, and mapped to domain types."""

from operator import attrgetter

import msgspec

from service.domain.idempotency import IdempotencyRecord
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
from service.repositories.sqlite.engine.statements import Row

LINK_WIDTH = len(Link.__struct_fields__)
_REPORT_AT = LINK_WIDTH + 3  # behind ANALYSIS_COLUMNS

_setting_values = attrgetter(*SETTING_COLUMNS)
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
    values = _setting_values(settings)
    if settings.modules is not None:
        values = tuple(
            encode_json(value) if isinstance(value, tuple) else value for value in values
        )
    return share_hash, user_id, video, row_id(video), *values, *request


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
    link_id, share_hash, modules, requires_nothing, *shown = row[:LINK_WIDTH]
    return Link(link_id, share_hash, modules, bool(requires_nothing), *shown)
