"""Retention: deletes links that have been dead for a number of days."""

from service.domain.clock import Now
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.revocations import not_revoked

_SINCE = "strftime('%Y-%m-%dT%H:%M:%S', :now, '-' || :days || ' day')"

# Expired links count even if the background task has not deactivated them yet.
_HAS_LONG_BEEN_DEAD = f"(inactive_since < {_SINCE} OR (is_active = 1 AND expires_at < {_SINCE}))"

# A revoked link belongs to its revocation, which counts it. The inner LIMIT bounds the rows read.
# The trigger `purged_links_deleted` deletes the links: a DELETE here would be a revocation.
_PURGE = f"""-- purge dead links
    INSERT INTO purged_links (id)
    SELECT id FROM (SELECT id, video_id FROM shared_reports
                     WHERE {_HAS_LONG_BEEN_DEAD} LIMIT :limit) AS dead
     WHERE {not_revoked("dead")}"""

_COUNT = f"""-- count links to purge
    SELECT count(*) FROM shared_reports WHERE {_HAS_LONG_BEEN_DEAD}"""


class SqliteRetention:
    """The links that have been dead for more than a number of days.

    A link is dead since it expired, was switched off, or had its last view or a limit below its
    views, whichever was first. Idempotency keys outlive the links that they created.
    """

    def __init__(self, database: Database, now: Now) -> None:
        self._read_worker, self._writer = database.read_worker, database.writer
        self._now = now

    async def purge(self, days: int, limit: int) -> int:
        """Delete up to ``limit`` such links. Return how many; 0 if none is left."""
        return await self._writer.execute(_PURGE, now=self._now, days=days, limit=limit)

    async def count(self, days: int) -> int:
        """Return how many such links there are."""
        return int((await self._read_worker.fetch_all(_COUNT, now=self._now, days=days))[0][0])
