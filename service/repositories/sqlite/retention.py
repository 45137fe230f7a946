"""Retention: links that have been dead for long go from the table ``shared_reports``."""

from service.domain.clock import Now
from service.repositories.sqlite.engine.database import Database

_SINCE = "strftime('%Y-%m-%dT%H:%M:%S', :now, '-' || :days || ' day')"

# Those that the background task has still to deactivate, too: it may not have run for long.
_HAS_LONG_BEEN_DEAD = f"(dead_since < {_SINCE} OR (is_active = 1 AND expires_at < {_SINCE}))"

_PURGE = f"""-- purge dead links
    DELETE FROM shared_reports WHERE id IN (
           SELECT id FROM shared_reports WHERE {_HAS_LONG_BEEN_DEAD} LIMIT :limit)"""

_COUNT = f"""-- count links to purge
    SELECT count(*) FROM shared_reports WHERE {_HAS_LONG_BEEN_DEAD}"""


class Retention:
    """The verbs on links that have been dead for more than ``days``; without days there are none.

    Dead since a link expired, was switched off, or had its last view or a limit below its views,
    whichever was first of what ended it. Calls that made a link and may come again are still known.
    """

    def __init__(self, database: Database, now: Now, days: int | None) -> None:
        self._read_worker, self._writer = database.read_worker, database.writer
        self._now = now
        self._days = days

    async def purge(self, limit: int) -> int:
        """Delete up to ``limit`` of them. Returns how many; 0 when none is left."""
        if self._days is None:
            return 0
        return await self._writer.execute(_PURGE, now=self._now, days=self._days, limit=limit)

    async def count(self) -> int:
        """How many there are."""
        if self._days is None:
            return 0
        return int(
            (await self._read_worker.fetch_all(_COUNT, now=self._now, days=self._days))[0][0]
        )
