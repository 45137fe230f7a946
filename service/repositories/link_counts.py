"""How many links there are in each status, for the metrics."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import get_args

from service.domain.links import LinkCounts, LinkState
from service.repositories.link_mapping import Row

STATES = get_args(LinkState)

_STEP = 10_000  # links that one statement counts: 5 ms in SQLite
_MAX_AGE = 10.0  # seconds that counts are reused if they took more than one statement


class SteppedLinkCounter:
    """Counts links by status, in steps between which other reads run.

    Counts of more links than one step takes are reused for some seconds: a scrape may be cheap to
    ask for, but reads the whole table.

    ``fetch_counts`` takes an id and a limit, counts that many links after the id, and returns one
    row: the counts in the order of STATES, the number of links, and the largest id.
    ``fetch_overdue`` returns one row with the earliest expiry to be deactivated.
    """

    def __init__(
        self,
        fetch_counts: Callable[[int, int], Awaitable[Sequence[Row]]],
        fetch_overdue: Callable[[], Awaitable[Sequence[Row]]],
        monotonic: Callable[[], float],
    ) -> None:
        self._fetch_counts, self._fetch_overdue = fetch_counts, fetch_overdue
        self._monotonic = monotonic
        self._counts: list[int] = []
        self._expires = -1.0
        """When ``_counts`` is too old, on the monotonic clock."""
        self._lock = asyncio.Lock()

    async def count(self) -> LinkCounts:
        """Return the counts; those by status are up to 10 s old if there are many links."""
        async with self._lock:
            if self._monotonic() >= self._expires:
                await self._recount()
            counts = self._counts
        [(overdue_since,)] = await self._fetch_overdue()
        by_status = dict(zip(STATES, counts, strict=True))
        return LinkCounts(**by_status, overdue_since=overdue_since)

    async def _recount(self) -> None:
        totals, after, step, steps = [0] * len(STATES), 0, _STEP, 0
        while step == _STEP:
            [(*counts, step, newest)] = await self._fetch_counts(after, _STEP)
            totals = [total + count for total, count in zip(totals, counts, strict=True)]
            after, steps = newest, steps + 1
        self._counts = totals
        self._expires = self._monotonic() + _MAX_AGE if steps > 1 else -1.0
