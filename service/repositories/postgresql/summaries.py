"""Names and numbers for the console's lists."""

from collections.abc import Mapping, Sequence

from service.domain.types import row_id
from service.repositories.base_console import COUNTED_MAX, VideoSummary
from service.repositories.postgresql.engine.database import Database
from service.repositories.postgresql.engine.statements import read

# Links that were revoked in bulk have ids up to that of their revocation: none of them is read.
_OF_VIDEOS = read("""-- summarise videos
    SELECT videos.id, videos.job_id, videos.name,
           (SELECT count(*) FROM (
                   SELECT 1 FROM shared_reports
                    WHERE shared_reports.video_id = videos.id
                      AND shared_reports.id > coalesce((SELECT last_id FROM revocations
                                                 WHERE revocations.video_id = videos.id), 0)
                    LIMIT :counted) AS links)
      FROM videos
     WHERE videos.user_id = :user_id AND videos.id = ANY(:ids::bigint[])""")


class PostgresqlSummaries:
    """Names and numbers for lists: see ``base_console.SummaryRepository``."""

    def __init__(self, database: Database) -> None:
        self._long = database.long

    async def of_videos(self, user_id: str, video_ids: Sequence[str]) -> Mapping[str, VideoSummary]:
        """Return the user's videos among these, by id."""
        ids = [number for text in dict.fromkeys(video_ids) if (number := row_id(text)) is not None]
        rows = await self._long.fetch_all(
            _OF_VIDEOS, caller=user_id, user_id=user_id, ids=ids, counted=COUNTED_MAX + 1
        )
        return {str(row[0]): VideoSummary(*row) for row in rows}
