"""Views of links that ask for nothing: counted in memory, written behind."""

import asyncio
from itertools import islice

from service.domain.clock import Now
from service.repositories.base import LinkRepository

_BATCH_SIZE = 200  # links a statement: some milliseconds, so that no other writer waits for long
_NONE = (0, "")


class ViewCounter:
    """Counts views of links and writes them to the table in batches.

    Views of links with a limit or a password are not counted here: each is on disk before it is
    answered (``AccessService.unlock``).
    """

    def __init__(self, links: LinkRepository, now: Now) -> None:
        self._links = links
        self._now = now
        self._counts: dict[int, tuple[int, str]] = {}
        """Views that are still to be written, by link: how many, and the time of the latest."""
        self._unwritten: dict[int, tuple[int, str]] = {}
        """Views that ``write`` has taken out of ``_counts`` and not written yet."""
        self._batch: dict[int, tuple[int, str]] = {}
        """Those of them that wait for their statement."""
        self._writing = asyncio.Lock()

    def count(self, link_id: int) -> None:
        """Count one view of a link; ``write`` writes it to the table."""
        self._counts[link_id] = (self._counts.get(link_id, _NONE)[0] + 1, self._now())

    def drop(self) -> None:
        """Forget all views that are not in the table: another database has other links."""
        for views in (self._counts, self._unwritten, self._batch):
            views.clear()

    async def write(self) -> None:
        """Write all views counted so far.

        Views that another call is writing are written, too, when this returns.
        """
        async with self._writing:
            # In the order of the ids: neighbours share pages of the table.
            counts = {link_id: self._counts[link_id] for link_id in sorted(self._counts)}
            self._counts, self._unwritten = {}, counts
            while counts:
                self._batch = batch = dict(islice(counts.items(), _BATCH_SIZE))
                try:
                    await self._links.add_views(batch)
                except asyncio.CancelledError:  # the statement runs all the same
                    self._restore_counts(dict(islice(counts.items(), _BATCH_SIZE, None)))
                    raise
                except Exception:
                    self._restore_counts(counts)
                    raise
                for link_id in batch:
                    counts.pop(link_id, None)

    def _restore_counts(self, counts: dict[int, tuple[int, str]]) -> None:
        for link_id, (count, at) in counts.items():
            since, latest = self._counts.get(link_id, (0, at))
            self._counts[link_id] = (since + count, latest)
