"""Counts of links that no answer waits for: in memory, written to the table every few seconds."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from service.domain.clock import Now
from service.domain.errors import UnavailableError
from service.domain.views import HourViews, ViewKind, Views, hour_of
from service.repositories.base import LinkRepository

_BATCH_SIZE = 200  # links a statement: some milliseconds, so that no other writer waits for long
_HOUR_TEXT = len("2025-01-15T10")  # characters of a timestamp

Counts = dict[int, dict[int, Views]]
"""Counts by hour, and by link."""


class ViewCounter:
    """Counts views, downloads and wrong passwords of links, and writes them in batches.

    Each is counted in its hour. Views of links with a limit or a password are not counted here:
    each is on disk before it is answered (``AccessService.unlock``).
    """

    def __init__(self, links: LinkRepository, now: Now) -> None:
        self._links = links
        self._now = now
        self._counts: Counts = {}
        """What no statement has taken yet."""
        self._hour = ""
        self._hour_counts: dict[int, Views] = {}
        """The counts of the hour that ``_hour`` begins the timestamps of."""
        self._writing = asyncio.Lock()

    def count(self, link_id: int, kind: ViewKind) -> None:
        """Count one of a link; ``write`` writes it to the table."""
        now = self._now()
        if now[:_HOUR_TEXT] != self._hour:
            self._begin_hour(now)
        views = self._hour_counts.get(link_id)
        if views is None:
            views = self._hour_counts[link_id] = Views()
        if kind == "api":
            views.api += 1
        elif kind == "page":
            views.pages += 1
        else:
            _count_no_view(views, kind)
            return
        if views.latest is None:
            views.first = now
        views.latest = now

    def _begin_hour(self, now: str) -> None:
        self._hour = now[:_HOUR_TEXT]
        self._hour_counts = self._counts.setdefault(hour_of(now), {})

    def drop(self) -> None:
        """Forget all counts that are not in the table: another database has other links.

        Counts that a statement is to take are forgotten, too, and a failed one restores none.
        """
        counts, self._counts, self._hour = self._counts, {}, ""
        counts.clear()

    def pending(self, link_ids: Iterable[int | None], hour: int | None = None) -> "PendingViews":
        """Return the counts of these links for one statement to take.

        Without an ``hour`` those of all hours, which are then counted in the latest of them.
        """
        return PendingViews(self._counts, link_ids, hour, self._now)

    async def write(self) -> None:
        """Write all that was counted so far.

        Counts that another call is writing are written, too, when this returns. Raises what the
        engine raises; they stay counted then.
        """
        async with self._writing:
            for hour, counts in sorted(self._counts.items()):
                link_ids = sorted(counts)  # neighbours share pages of the table
                for start in range(0, len(link_ids), _BATCH_SIZE):
                    await self._write(self.pending(link_ids[start : start + _BATCH_SIZE], hour))
                is_over = not counts and counts is not self._hour_counts
                if is_over and self._counts.get(hour) is counts:  # not if all was dropped meanwhile
                    del self._counts[hour]

    async def write_link(self, link_id: int | None) -> None:
        """Write the counts of one link; they stay counted if the database cannot do it now."""
        with suppress(UnavailableError):
            await self._write(self.pending([link_id]))

    async def _write(self, views: "PendingViews") -> None:
        try:
            await self._links.add_views(views.take)
        except Exception:  # a cancelled call's statement runs all the same
            views.restore()
            raise


class PendingViews:
    """Counts of some links, for the one statement that writes them."""

    def __init__(
        self, counts: Counts, link_ids: Iterable[int | None], hour: int | None, now: Now
    ) -> None:
        self._counts = counts
        self._link_ids = link_ids
        self._hour = hour
        self._now = now
        self._taken: HourViews | None = None

    def take(self) -> HourViews:
        """Take the counts out of the counter, once; later calls return the same."""
        if self._taken is None:
            hours = sorted(self._counts) if self._hour is None else [self._hour]
            taken: dict[int, Views] = {}
            latest = None
            for hour in hours:
                counts = self._counts.get(hour, {})
                for link_id in self._link_ids:
                    if link_id is not None and (views := counts.pop(link_id, None)) is not None:
                        latest = hour
                        if link_id in taken:
                            taken[link_id].add(views)
                        else:
                            taken[link_id] = views
            self._taken = HourViews(hour_of(self._now()) if latest is None else latest, taken)
        return self._taken

    def restore(self) -> None:
        """Give the counts back to the counter: the statement has not written them."""
        if self._taken is None:
            return
        counts = self._counts.setdefault(self._taken.hour, {})
        for link_id, views in self._taken.by_link.items():
            if (later := counts.get(link_id)) is not None:
                views.add(later)
            counts[link_id] = views


def _count_no_view(views: Views, kind: ViewKind) -> None:
    if kind == "bot":
        views.bots += 1
    elif kind == "download":
        views.downloads += 1
    else:
        views.failed_passwords += 1
