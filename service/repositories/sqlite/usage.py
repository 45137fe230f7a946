"""What each user has: the table ``user_usage``, which triggers keep."""

from service.domain.usage import Quotas, Usage, usage
from service.repositories.sqlite.engine.database import Database

_GET = """-- get a user's usage
    SELECT links, videos, bytes FROM user_usage WHERE user_id = :user_id"""

_SIZE = """SELECT CASE WHEN analysis_id IS NULL THEN length(CAST(segments AS BLOB))
           ELSE (SELECT sum(length(data)) FROM analysis_parts
                  WHERE analysis_parts.analysis_id = videos.analysis_id) END AS size
      FROM videos WHERE user_id = :user_id AND job_id = :job_id"""

_STORED = f"""-- get the size of a stored analysis
    {_SIZE}"""

_USED = "ifnull((SELECT {} FROM user_usage WHERE user_id = :user_id), 0)"

HAS_ROOM_FOR_VIDEO = f"""
           (:max_videos IS NULL OR {_USED.format("videos")} < :max_videos
            OR EXISTS (SELECT 1 FROM videos WHERE user_id = :user_id AND job_id = :job_id))
       AND (:max_bytes IS NULL OR {_USED.format("bytes")} + :size <= :max_bytes
            OR EXISTS (SELECT 1 FROM ({_SIZE}) AS stored
                        WHERE :size <= stored.size
                           OR {_USED.format("bytes")} + :size - stored.size <= :max_bytes))"""
"""Whether a user's quotas allow a video whose analysis has ``:size`` bytes."""


class SqliteUsage:
    """What each user has: see ``base_statistics.UsageRepository``."""

    def __init__(self, database: Database, quotas: Quotas) -> None:
        self._reader = database.reader
        self.quotas = quotas

    async def get(self, user_id: str) -> Usage:
        """Return what a user has, and may have."""
        return self._get(user_id)

    def require_room_for_video(self, user_id: str, job_id: str, size: int) -> None:
        """Raise ConflictError if a quota forbids a video whose analysis has ``size`` bytes."""
        if self.quotas.videos is None and self.quotas.bytes is None:
            return
        rows = self._reader.fetch_all(_STORED, user_id=user_id, job_id=job_id)
        self._get(user_id).require_room_for_video(rows[0][0] if rows else None, size)

    def _get(self, user_id: str) -> Usage:
        rows = self._reader.fetch_all(_GET, user_id=user_id)
        return usage(rows[0] if rows else (0, 0, 0), self.quotas)
