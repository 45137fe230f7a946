"""Views of links: what is counted of a link between two writes to the table."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

from service.domain import clock

ViewKind = Literal["api", "page", "bot", "download", "failed_password"]
"""What is counted. A view of a person or a program is ``api`` or ``page``; all others are none."""

HOUR = 3600
"""Seconds."""


class Views(msgspec.Struct, array_like=True):
    """Counts of one link that are not in the table yet. On the wire to SQL it is an array."""

    api: int = 0
    pages: int = 0
    bots: int = 0
    downloads: int = 0
    failed_passwords: int = 0
    first: str | None = None
    """The times of the first and the latest view; None without a view."""
    latest: str | None = None

    def add(self, later: "Views") -> None:
        """Add the counts of a later time."""
        self.api += later.api
        self.pages += later.pages
        self.bots += later.bots
        self.downloads += later.downloads
        self.failed_passwords += later.failed_passwords
        self.first = self.first or later.first
        self.latest = later.latest or self.latest


class HourViews(NamedTuple):
    """Counts by link, all of one hour."""

    hour: int
    by_link: Mapping[int, Views]


def hour_of(moment: str) -> int:
    """Return the hour of a timestamp, in hours since 1970 (UTC)."""
    return int(clock.to_seconds(moment)) // HOUR
