"""Statistics: the tables ``view_statistics`` and ``video_views``."""

import secrets

from service.domain.statistics import Period, ViewStatistics
from service.domain.types import row_id
from service.repositories.base_statistics import statistics
from service.repositories.postgresql.engine.database import Database
from service.repositories.postgresql.engine.statements import read, storable, write
from service.repositories.postgresql.revocations import not_revoked

_BUCKET = """statistics.hour / :width::integer AS bucket, sum(statistics.api),
           sum(statistics.pages), sum(statistics.bots), sum(statistics.downloads)"""
_IN_PERIOD = "statistics.hour >= :start::integer AND statistics.hour < :end::integer"

_OF_LINK = read(
    f"""-- get a link's statistics
    SELECT view_count, bot_view_count, first_viewed_at, last_viewed_at, failed_password_count,
           {_BUCKET}
      FROM shared_reports LEFT JOIN view_statistics AS statistics
        ON statistics.video_id = shared_reports.video_id
       AND statistics.report_id = shared_reports.id AND {_IN_PERIOD}
     WHERE shared_reports.id = :id AND shared_reports.user_id = :user_id AND {not_revoked()}
     GROUP BY shared_reports.id, bucket"""
)

_OF_VIDEO = read(
    f"""-- get a video's statistics
    SELECT coalesce(view_count, 0), coalesce(bot_view_count, 0), first_viewed_at,
           last_viewed_at, coalesce(failed_password_count, 0), {_BUCKET}
      FROM videos LEFT JOIN video_views ON video_views.video_id = videos.id
      LEFT JOIN view_statistics AS statistics
        ON statistics.video_id = videos.id AND statistics.report_id = 0 AND {_IN_PERIOD}
     WHERE videos.user_id = :user_id AND videos.job_id = :job_id
     GROUP BY videos.id, video_views.video_id, bucket"""
)

_LARGEST = read(
    """-- find the largest video id of statistics
    SELECT max(video_id) FROM view_statistics"""
)

_KEY = "(video_id, report_id, hour)"
_AFTER = f"{_KEY} > (:video_id::bigint, :report_id::bigint, :hour::integer)"

_NEXT = read(
    f"""-- look ahead in statistics
    SELECT video_id, report_id, hour FROM view_statistics WHERE {_AFTER}
     ORDER BY video_id, report_id, hour LIMIT 1 OFFSET :limit::bigint - 1"""
)

_PURGE = write(
    f"""-- purge statistics
    DELETE FROM view_statistics
     WHERE {_AFTER}
       AND {_KEY} <= (:last_video_id::bigint, :last_report_id::bigint, :last_hour::integer)
       AND (hour < :oldest::integer OR CASE WHEN report_id = 0
            THEN NOT EXISTS (SELECT 1 FROM videos
                              WHERE videos.id = view_statistics.video_id AND user_id <> 'deleted')
            ELSE NOT EXISTS (SELECT 1 FROM shared_reports
                              WHERE shared_reports.id = view_statistics.report_id) END)""",
    repeats=True,
)

_LAST = (2**63 - 1, 0, 0)
"""A key after all others."""


def counted(source: str) -> str:
    """Return table expressions that add counts to the statistics, within the statement around them.

    ``source`` selects ``video_id, id, hour, api, pages, bots, downloads, failed_passwords, first,
    latest`` for each link, whose row the statement has locked. Rows are locked in the order of
    their keys, so that no two statements wait for each other. ``first`` is NULL unless the link had
    no view before.
    """
    return f"""counted AS MATERIALIZED ({source}),
           by_hour AS (
           INSERT INTO view_statistics AS known
                  (video_id, report_id, hour, api, pages, bots, downloads)
           SELECT video_id, report_id, hour, sum(api), sum(pages), sum(bots), sum(downloads)
             FROM (SELECT *, id AS report_id FROM counted
                    UNION ALL
                   SELECT *, 0 AS report_id FROM counted) AS added
            WHERE api + pages + bots + downloads > 0
            GROUP BY video_id, report_id, hour ORDER BY video_id, report_id, hour
               ON CONFLICT (video_id, report_id, hour) DO UPDATE
              SET api = known.api + excluded.api, pages = known.pages + excluded.pages,
                  bots = known.bots + excluded.bots,
                  downloads = known.downloads + excluded.downloads),
           by_video AS (
           INSERT INTO video_views AS known
                  (video_id, view_count, bot_view_count, failed_password_count, first_viewed_at,
                   last_viewed_at)
           SELECT video_id, sum(api + pages), sum(bots), sum(failed_passwords), min(first),
                  max(latest)
             FROM counted WHERE api + pages + bots + failed_passwords > 0
            GROUP BY video_id ORDER BY video_id
               ON CONFLICT (video_id) DO UPDATE
              SET view_count = known.view_count + excluded.view_count,
                  bot_view_count = known.bot_view_count + excluded.bot_view_count,
                  failed_password_count = known.failed_password_count
                      + excluded.failed_password_count,
                  first_viewed_at = CASE WHEN known.view_count = 0 THEN excluded.first_viewed_at
                      WHEN known.first_viewed_at IS NULL THEN NULL
                      ELSE least(known.first_viewed_at, excluded.first_viewed_at) END,
                  last_viewed_at = greatest(known.last_viewed_at, excluded.last_viewed_at))"""


class PostgresqlStatistics:
    """Views by the hour: see ``base_statistics.StatisticsRepository``."""

    def __init__(self, database: Database) -> None:
        self._long = database.long
        self._purged: tuple[int, int, int] | None = None
        """The key up to which the table has been looked at; None before the first look."""

    async def of_link(self, user_id: str, report_id: str, period: Period) -> ViewStatistics:
        """Return the statistics of a user's link. Raises NotFoundError."""
        rows = await self._long.fetch_all(
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
        rows = await self._long.fetch_all(
            _OF_VIDEO,
            caller=user_id,
            user_id=user_id,
            job_id=storable(job_id),
            width=period.width,
            start=period.start,
            end=period.end,
        )
        return statistics(rows, period, "No such video.")

    async def purge(self, oldest: int, limit: int) -> int:
        """Purge some of the next ``limit`` rows: see ``base_statistics.StatisticsRepository``."""
        if self._purged is None:
            [[largest]] = await self._long.fetch_all(_LARGEST)
            self._purged = (secrets.randbelow((largest or 0) + 1), 0, 0)
        after = dict(zip(("video_id", "report_id", "hour"), self._purged, strict=True))
        rows = await self._long.fetch_all(_NEXT, **after, limit=limit)
        last = tuple(rows[0]) if rows else _LAST
        await self._long.execute(
            _PURGE,
            **after,
            last_video_id=last[0],
            last_report_id=last[1],
            last_hour=last[2],
            oldest=oldest,
        )
        self._purged = last if rows else (0, 0, 0)
        return limit if rows else 0
