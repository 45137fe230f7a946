"""How many links there are in each status, for the metrics."""

import asyncio
import time
from collections.abc import Callable

from service.domain.links import LinkCounts
from service.repositories.postgresql.engine.database import Database
from service.repositories.postgresql.engine.statements import NOW, read
from service.repositories.postgresql.link_sql import STATES, status_sql
from service.repositories.postgresql.revocations import not_revoked

_STEP = 10_000  # links that one statement counts: some milliseconds
_MAX_AGE = 10.0  # seconds that counts are reused if they took more than one statement

_COUNT = read(f"""-- count links by status
    SELECT {", ".join(f"count(*) FILTER (WHERE status = '{state}')" for state in STATES)},
           count(*), max(id)
      FROM (SELECT id, CASE WHEN {not_revoked()} THEN {status_sql("shared_reports")} END AS status
              FROM shared_reports WHERE id > :after ORDER BY id LIMIT :limit) AS links""")

_OVERDUE = read(f"""-- find the earliest expiry to be deactivated
    SELECT min(expires_at) FROM shared_reports WHERE is_active AND expires_at <= {NOW}""")


class LinkCounter:
    """Counts links by status, in steps between which other reads run.

    Counts of more links than one step takes are reused for some seconds: a scrape may be cheap to
    ask for, but reads the whole table.
    """

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
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
        [(overdue_since,)] = await self._database.long.fetch_all(_OVERDUE, now=self._database.now)
        by_status = dict(zip(STATES, counts, strict=True))
        return LinkCounts(**by_status, overdue_since=overdue_since)

    async def _recount(self) -> None:
        totals, after, step, steps = [0] * len(STATES), 0, _STEP, 0
        while step == _STEP:
            [(*counts, step, newest)] = await self._database.long.fetch_all(
                _COUNT, after=after, limit=_STEP, now=self._database.now
            )
            totals = [total + count for total, count in zip(totals, counts, strict=True)]
            after, steps = newest, steps + 1
        self._counts = totals
        self._expires = self._monotonic() + _MAX_AGE if steps > 1 else -1.0
