"""Names and numbers for the console's lists."""

from collections.abc import Mapping, Sequence

import msgspec

from service.domain.types import row_id
from service.repositories.base_console import COUNTED_MAX, VideoSummary
from service.repositories.sqlite.engine.database import Database

# Links that were revoked in bulk have ids up to that of their revocation: none of them is read.
_OF_VIDEOS = """-- summarise videos
    SELECT videos.id, videos.job_id, videos.name,
           (SELECT count(*) FROM (
                   SELECT 1 FROM shared_reports
                    WHERE shared_reports.video_id = videos.id
                      AND shared_reports.id > ifnull((SELECT last_id FROM revocations
                                                 WHERE revocations.video_id = videos.id), 0)
                    LIMIT :counted))
      FROM videos
     WHERE videos.user_id = :user_id AND videos.id IN (SELECT value FROM json_each(:ids))"""


class SqliteSummaries:
    """Names and numbers for lists: see ``base_console.SummaryRepository``."""

    def __init__(self, database: Database) -> None:
        self._read_worker = database.read_worker

    async def of_videos(self, user_id: str, video_ids: Sequence[str]) -> Mapping[str, VideoSummary]:
        """Return the user's videos among these, by id."""
        ids = [number for text in dict.fromkeys(video_ids) if (number := row_id(text)) is not None]
        rows = await self._read_worker.fetch_all(
            _OF_VIDEOS,
            caller=user_id,
            user_id=user_id,
            ids=msgspec.json.encode(ids).decode(),
            counted=COUNTED_MAX + 1,
        )
        return {str(row[0]): VideoSummary(*row) for row in rows}
