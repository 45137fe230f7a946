"""Statistics: the views of a link or a video, in buckets of an hour or a day."""

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from service.domain import clock
from service.domain.errors import InvalidError
from service.domain.types import Timestamp
from service.domain.views import HOUR, hour_of

BUCKETS_MAX = 750
"""Buckets of one answer: 31 days of hours, or two years of days."""

DEFAULT_DAYS = 30
"""Days of a period whose beginning is not given."""

Interval = Literal["hour", "day"]

_WIDTHS: dict[str, int] = {"hour": 1, "day": 24}
"""Hours of a bucket."""

Count = Annotated[int, Meta(ge=0)]


class ViewBucket(msgspec.Struct, frozen=True):
    """What was counted in an hour, or in a day of UTC."""

    start: Annotated[Timestamp, Meta(description="When the hour or the day begins (UTC).")]
    views: Annotated[Count, Meta(description="`pages` and `api` together, as in `view_count`.")]
    bots: Annotated[Count, Meta(description="Bot views, as in `bot_view_count`.")]
    pages: Annotated[Count, Meta(description="Views of the page.")]
    api: Annotated[Count, Meta(description="Views by the API.")]
    downloads: Annotated[
        Count, Meta(description="Downloads as JSON, CSV or WebVTT, bots left out. No views.")
    ]


class ViewStatistics(msgspec.Struct, frozen=True):
    """The views of a link, or of all links of a video. Nothing about a viewer is stored."""

    total: Annotated[Count, Meta(description="All views since the creation, bots left out.")]
    bots: Annotated[Count, Meta(description="All bot views since the creation.")]
    first_viewed_at: Annotated[
        Timestamp | None,
        Meta(description="UTC; null for never, and if it was before statistics were counted."),
    ]
    last_viewed_at: Annotated[Timestamp | None, Meta(description="UTC; null for never.")]
    failed_passwords: Annotated[
        Count, Meta(description="Wrong passwords since the creation, to within some seconds.")
    ]
    buckets: Annotated[
        tuple[ViewBucket, ...],
        Meta(
            max_length=BUCKETS_MAX,
            description="All hours or days of the period, oldest first, also those without views.",
        ),
    ]


class Period(msgspec.Struct, frozen=True):
    """Hours since 1970, from ``start`` to before ``end``, in buckets of ``width`` hours."""

    width: int
    start: int
    end: int

    def buckets(self, rows: Mapping[int, tuple[int, int, int, int]]) -> tuple[ViewBucket, ...]:
        """Return all buckets; ``rows`` are the counts api, pages, bots, downloads by bucket.

        Buckets are numbered from 1970 on.
        """
        buckets = []
        for hour in range(self.start, self.end, self.width):
            api, pages, bots, downloads = rows.get(hour // self.width, (0, 0, 0, 0))
            start = clock.to_text(hour * HOUR)
            buckets.append(ViewBucket(start, api + pages, bots, pages, api, downloads))
        return tuple(buckets)


def read_period(query: Mapping[str, str], now: str, kept_days: int) -> Period:
    """Return the period that a query asks for by ``interval``, ``from`` and ``to``.

    A bucket is in it that overlaps it; none that is older than ``kept_days`` or in the future.
    Raises InvalidError.
    """
    interval = query.get("interval", "day")
    if interval not in _WIDTHS:
        raise InvalidError(f"`interval` is one of {', '.join(get_args(Interval))}.")
    width = _WIDTHS[interval]
    latest, oldest = _floor(hour_of(now), width) + width, oldest_hour(now, kept_days)
    end = -_floor(-_last_hour(query["to"]), width) if "to" in query else latest
    start = end - DEFAULT_DAYS * 24
    if "from" in query:
        start = _floor(hour_of(_parse("from", query["from"])), width)
        if "to" in query and start >= end:
            raise InvalidError("`from` is not before `to`.")
    period = Period(width, max(start, _floor(oldest, width)), min(end, latest))
    count = (period.end - period.start) // width
    if count > BUCKETS_MAX:
        raise InvalidError(
            f"From `from` to `to` are {count} buckets, and an answer has {BUCKETS_MAX} at most."
        )
    return period


def oldest_hour(now: str, kept_days: int) -> int:
    """Return the oldest hour whose statistics are kept for ``kept_days``."""
    return hour_of(now) - kept_days * 24


def _last_hour(text: str) -> int:
    """Return the hour before which a period ends: a begun hour is in it."""
    moment = _parse("to", text)
    hour = hour_of(moment)
    return hour if clock.to_seconds(moment) == hour * HOUR else hour + 1


def _floor(hour: int, width: int) -> int:
    return hour // width * width


def _parse(field: str, text: str) -> str:
    try:
        return clock.parse(text, rounds_up=field == "to")
    except ValueError as error:
        raise InvalidError(f"`{field}` is not an ISO 8601 date-time.") from error
