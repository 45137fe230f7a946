"""What each user has: the table ``user_usage``, which triggers keep."""

from service.domain.usage import Quotas, Usage, usage
from service.repositories.postgresql.engine.database import Database
from service.repositories.postgresql.engine.statements import read, storable

_GET = read(
    """-- get a user's usage
    SELECT links, videos, bytes FROM user_usage WHERE user_id = :user_id"""
)

_STORED = read(
    """-- get the size of a stored analysis
    SELECT octet_length(segments) FROM videos WHERE user_id = :user_id AND job_id = :job_id"""
)


class PostgresqlUsage:
    """What each user has: see ``base_statistics.UsageRepository``."""

    def __init__(self, database: Database, quotas: Quotas) -> None:
        self._lookups = database.lookups
        self.quotas = quotas

    async def get(self, user_id: str) -> Usage:
        """Return what a user has, and may have."""
        rows = await self._lookups.fetch_all(_GET, user_id=user_id)
        return usage(tuple(rows[0]) if rows else (0, 0, 0), self.quotas)

    async def require_room_for_video(self, user_id: str, job_id: str, size: int) -> None:
        """Raise ConflictError if a quota forbids a video whose analysis has ``size`` bytes."""
        rows = await self._lookups.fetch_all(_STORED, user_id=user_id, job_id=storable(job_id))
        stored = rows[0][0] if rows else None
        (await self.get(user_id)).require_room_for_video(stored, size)
