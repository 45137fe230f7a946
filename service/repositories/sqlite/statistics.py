"""Statistics: the table ``view_statistics``, which a trigger on ``shared_reports`` fills."""

from service.domain.statistics import Period, ViewStatistics
from service.domain.types import row_id
from service.repositories.base_statistics import statistics
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.revocations import not_revoked

_BUCKET = """statistics.hour / :width, sum(statistics.api), sum(statistics.pages),
           sum(statistics.bots), sum(statistics.downloads)"""
_IN_PERIOD = "statistics.hour >= :start AND statistics.hour < :end"

_OF_LINK = f"""-- get a link's statistics
    SELECT view_count, bot_view_count, first_viewed_at, last_viewed_at, failed_password_count,
           {_BUCKET}
      FROM shared_reports LEFT JOIN view_statistics AS statistics
        ON statistics.video_id = shared_reports.video_id
       AND statistics.report_id = shared_reports.id AND {_IN_PERIOD}
     WHERE shared_reports.id = :id AND shared_reports.user_id = :user_id AND {not_revoked()}
     GROUP BY statistics.hour / :width"""

_OF_VIDEO = f"""-- get a video's statistics
    SELECT ifnull(view_count, 0), ifnull(bot_view_count, 0), first_viewed_at, last_viewed_at,
           ifnull(failed_password_count, 0), {_BUCKET}
      FROM videos LEFT JOIN video_views ON video_views.video_id = videos.id
      LEFT JOIN view_statistics AS statistics
        ON statistics.video_id = videos.id AND statistics.report_id = 0 AND {_IN_PERIOD}
     WHERE videos.user_id = :user_id AND videos.job_id = :job_id
     GROUP BY statistics.hour / :width"""

_START = """-- find where to purge statistics
    SELECT abs(random() % (1 + ifnull((SELECT max(video_id) FROM view_statistics), 0)))"""

_KEY = "(video_id, report_id, hour)"

_NEXT = f"""-- look ahead in statistics
    SELECT video_id, report_id, hour FROM view_statistics
     WHERE {_KEY} > (:video_id, :report_id, :hour)
     ORDER BY video_id, report_id, hour LIMIT 1 OFFSET :limit - 1"""

_PURGE = f"""-- purge statistics
    DELETE FROM view_statistics
     WHERE {_KEY} > (:video_id, :report_id, :hour)
       AND {_KEY} <= (:last_video_id, :last_report_id, :last_hour)
       AND (hour < :oldest OR CASE WHEN report_id = 0
            THEN NOT EXISTS (SELECT 1 FROM videos
                              WHERE videos.id = view_statistics.video_id AND user_id <> 'deleted')
            ELSE NOT EXISTS (SELECT 1 FROM shared_reports
                              WHERE shared_reports.id = view_statistics.report_id) END)"""

_LAST = (2**63 - 1, 0, 0)
"""A key after all others."""


class SqliteStatistics:
    """Views by the hour: see ``base_statistics.StatisticsRepository``."""

    def __init__(self, database: Database) -> None:
        self._reader, self._read_worker = database.reader, database.read_worker
        self._writer = database.writer
        self._purged: tuple[int, int, int] | None = None
        """The key up to which the table has been looked at; None before the first look."""

    async def of_link(self, user_id: str, report_id: str, period: Period) -> ViewStatistics:
        """Return the statistics of a user's link. Raises NotFoundError."""
        rows = await self._read_worker.fetch_all(
            _OF_LINK,
            caller=user_id,
            user_id=user_id,
            id=row_id(report_id),
            width=period.width,
            start=period.start,
            end=period.end,
        )
        return statistics(rows, period, "No such shared report.")

    async def of_video(self, user_id: str, job_id: str, period: Period) -> ViewStatistics:
        """Return the statistics of all links of a user's video. Raises NotFoundError."""
        rows = await self._read_worker.fetch_all(
            _OF_VIDEO,
            caller=user_id,
            user_id=user_id,
            job_id=job_id,
            width=period.width,
            start=period.start,
            end=period.end,
        )
        return statistics(rows, period, "No such video.")

    async def purge(self, oldest: int, limit: int) -> int:
        """Purge some of the next ``limit`` rows: see ``base_statistics.StatisticsRepository``."""
        if self._purged is None:
            self._purged = (self._reader.fetch_all(_START)[0][0], 0, 0)
        after = dict(zip(("video_id", "report_id", "hour"), self._purged, strict=True))
        rows = await self._read_worker.fetch_all(_NEXT, **after, limit=limit)
        last = rows[0] if rows else _LAST
        await self._writer.execute(
            _PURGE,
            **after,
            last_video_id=last[0],
            last_report_id=last[1],
            last_hour=last[2],
            oldest=oldest,
        )
        self._purged = last if rows else (0, 0, 0)
        return limit if rows else 0
