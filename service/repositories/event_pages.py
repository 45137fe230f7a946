"""Rows of events mapped to domain types, and pages of them, oldest first.

A statement of a page looks at a bounded number of rows.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, TypeVar

from msgspec import UNSET

from service.domain.events import Event, EventPage, EventRange, LinkSnapshot
from service.repositories.link_mapping import REPORT_FIELDS, Row, map_rows, shared_report
from service.repositories.video_mapping import video

S = TypeVar("S")
"""A statement of an engine."""

_SCAN_ROWS = 10_000  # events that one statement looks at: some milliseconds
_ALL = 2**63 - 1

_COUNTS_AT = 3
_LINK_AT = 6
_VIDEO_AT = _LINK_AT + len(REPORT_FIELDS)
_MODULES = _LINK_AT + REPORT_FIELDS.index("modules")

_snapshot_values = attrgetter(
    *(
        name
        for name in LinkSnapshot.__struct_fields__
        if name not in {"new_views", "new_bot_views", "new_unlocks"}
    )
)

EVENT_COLUMNS = """link.event_id, link.type, link.event_at, link.new_views, link.new_bot_views,
           link.new_unlocks"""
"""The first columns of a row for ``event_of``. A SharedReport's and then a Video's follow."""

VIDEO_COLUMNS = """link.video_id, link.user_id, link.job_id, link.project_id, link.name,
           link.video_status, link.selected_insights, link.duration, link.file_size,
           link.processing_time, link.storage_path, link.video_created_at, link.updated_at"""
"""The last columns of a row for ``event_of``."""

LINK_COLUMNS = """id AS event_id, type, created_at AS event_at, new_views, new_bot_views,
                   new_unlocks, link_id AS id, user_id, video_id, '' AS share_hash, expires_at,
                   is_active, link_created_at AS created_at, not_before, max_views, label, modules,
                   view_count, last_viewed_at, note, bot_view_count, switched_off_at, job_id,
                   project_id, name, video_status, selected_insights, duration, file_size,
                   processing_time, storage_path, video_created_at, updated_at"""
"""The columns of an event under the names that those of a link have, but ``password``."""


@dataclass(frozen=True, slots=True)
class EventQuery(Generic[S]):
    """The statements of a list of events."""

    rows: S
    """Rows for ``event_of``, of events of ``:user_id`` with ids above ``:after`` up to ``:until``,
    and of ``:type`` unless it is null; at most ``:rows`` of them in the order of ids."""
    look_ahead: S
    """How many of the next ``:rows`` events there are, of any type, and the id of the last."""


async def fetch_events(
    fetch_all: Callable[..., Awaitable[Sequence[Row]]],
    query: EventQuery[S],
    user_id: str,
    wanted: EventRange,
) -> EventPage:
    """Return a page of events: see ``EventRepository.list_after``."""
    owner = {"caller": user_id, "user_id": user_id, "after": wanted.after}
    until, has_more = _ALL, False
    if wanted.type is not None:
        [(count, last)] = await fetch_all(query.look_ahead, rows=_SCAN_ROWS, **owner)
        until, has_more = last or wanted.after, count == _SCAN_ROWS
    rows = await fetch_all(
        query.rows, until=until, type=wanted.type, rows=wanted.limit + 1, **owner
    )
    events = await map_events(rows[: wanted.limit])
    if len(rows) > wanted.limit:
        return EventPage(events, rows[wanted.limit - 1][0], has_more=True)
    if wanted.type is None:
        until = rows[-1][0] if rows else wanted.after
    return EventPage(events, until, has_more)


async def map_events(rows: Sequence[Row]) -> list[Event]:
    """Return the events of rows, some at a time on the event loop: see EVENT_COLUMNS."""
    return await map_rows(rows, event_of, _MODULES)


def event_of(row: Row) -> Event:
    """Return the event of a row: see EVENT_COLUMNS."""
    event_id, event_type, created_at = row[:_COUNTS_AT]
    if event_type.startswith("video."):
        data: Any = video(row[_VIDEO_AT:])
    else:
        report = shared_report(row[_LINK_AT:_VIDEO_AT])
        counts = (UNSET if count is None else count for count in row[_COUNTS_AT:_LINK_AT])
        data = LinkSnapshot(*_snapshot_values(report), *counts)
    return Event(str(event_id), event_type, created_at, data)
