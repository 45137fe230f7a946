"""Views of unprotected links: counted in memory, written to the table every few seconds."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress

from service.domain.clock import Now
from service.domain.errors import UnavailableError
from service.repositories.base import LinkRepository, Views

_BATCH_SIZE = 200  # links a statement: some milliseconds, so that no other writer waits for long

Counts = dict[int, Views]
"""Views by link."""

_NO_VIEWS: Views = (0, 0, None)


class ViewCounter:
    """Counts views of links and writes them to the table in batches.

    Views of links with a limit or a password are not counted here: each is on disk before it is
    answered (``AccessService.unlock``).
    """

    def __init__(self, links: LinkRepository, now: Now) -> None:
        self._links = links
        self._now = now
        self._counts: Counts = {}
        """Views that no statement has taken yet."""
        self._writing = asyncio.Lock()

    def count(self, link_id: int, *, is_bot: bool) -> None:
        """Count one view of a link, a person's or a bot's; ``write`` writes it to the table."""
        count, bot_count, latest = self._counts.get(link_id, _NO_VIEWS)
        if is_bot:
            self._counts[link_id] = (count, bot_count + 1, latest)
        else:
            self._counts[link_id] = (count + 1, bot_count, self._now())

    def drop(self) -> None:
        """Forget all views that are not in the table: another database has other links.

        Views that a statement is to take are forgotten, too, and a failed one restores none.
        """
        counts, self._counts = self._counts, {}
        counts.clear()

    def pending(self, link_ids: Iterable[int | None]) -> "PendingViews":
        """Return the views of these links for one statement to take."""
        return PendingViews(self._counts, link_ids)

    async def write(self) -> None:
        """Write all views counted so far.

        Views that another call is writing are written, too, when this returns. Raises what the
        engine raises; the views stay counted then.
        """
        async with self._writing:
            link_ids = sorted(self._counts)  # neighbours share pages of the table
            for start in range(0, len(link_ids), _BATCH_SIZE):
                await self._write(link_ids[start : start + _BATCH_SIZE])

    async def write_link(self, link_id: int | None) -> None:
        """Write the views of one link; they stay counted if the database cannot do it now."""
        with suppress(UnavailableError):
            await self._write([link_id])

    async def _write(self, link_ids: Iterable[int | None]) -> None:
        views = self.pending(link_ids)
        try:
            await self._links.add_views(views.take)
        except Exception:  # a cancelled call's statement runs all the same
            views.restore()
            raise


class PendingViews:
    """Views of some links, for the one statement that writes them."""

    def __init__(self, counts: Counts, link_ids: Iterable[int | None]) -> None:
        self._counts = counts
        self._link_ids = link_ids
        self._taken: Counts | None = None

    def take(self) -> Mapping[int, Views]:
        """Take the views out of the counter, once; later calls return the same views."""
        if self._taken is None:
            self._taken = {
                link_id: self._counts.pop(link_id)
                for link_id in self._link_ids
                if link_id is not None and link_id in self._counts
            }
        return self._taken

    def restore(self) -> None:
        """Give the views back to the counter: the statement has not written them."""
        for link_id, (count, bot_count, latest) in (self._taken or {}).items():
            later_count, later_bot_count, later = self._counts.get(link_id, _NO_VIEWS)
            self._counts[link_id] = (
                count + later_count,
                bot_count + later_bot_count,
                later or latest,
            )
