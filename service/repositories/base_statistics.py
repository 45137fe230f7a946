"""The interfaces of statistics and of usage between the rules and the storage engines."""

from collections.abc import Sequence
from typing import Any, Protocol

from service.domain.errors import NotFoundError
from service.domain.statistics import Period, ViewStatistics
from service.domain.usage import Usage


class StatisticsRepository(Protocol):
    """Views by the hour: the table ``view_statistics``."""

    async def of_link(self, user_id: str, report_id: str, period: Period) -> ViewStatistics:
        """Return the statistics of a user's link. Raises NotFoundError."""

    async def of_video(self, user_id: str, job_id: str, period: Period) -> ViewStatistics:
        """Return the statistics of all links of a user's video, also of those that are gone.

        Raises NotFoundError.
        """

    async def purge(self, oldest: int, limit: int) -> int:
        """Look at the next ``limit`` rows; delete those of hours before ``oldest``.

        And those of links and videos that are gone. Return how many it looked at, 0 at the end of
        the table: then the next call starts from its beginning. The first call starts somewhere, so
        that a process that is often restarted gets everywhere.
        """


class UsageRepository(Protocol):
    """What each user has: the table ``user_usage``, which triggers keep."""

    async def get(self, user_id: str) -> Usage:
        """Return what a user has, and may have."""


class StatisticsRepositories(Protocol):
    """The part of ``base.Repositories`` that is about statistics and usage."""

    @property
    def statistics(self) -> StatisticsRepository:
        """Views by the hour."""

    @property
    def usage(self) -> UsageRepository:
        """What each user has."""


def statistics(rows: Sequence[Sequence[Any]], period: Period, missing: str) -> ViewStatistics:
    """Return the statistics of rows that hold totals, and then a bucket and its counts.

    The bucket is None in the only row of a link without any. Raises NotFoundError if there is none.
    """
    if not rows:
        raise NotFoundError(missing)
    total, bots, first_viewed_at, last_viewed_at, failed_passwords = rows[0][:5]
    counts = {
        row[5]: (int(row[6]), int(row[7]), int(row[8]), int(row[9]))
        for row in rows
        if row[5] is not None
    }
    return ViewStatistics(
        total=total,
        bots=bots,
        first_viewed_at=first_viewed_at,
        last_viewed_at=last_viewed_at,
        failed_passwords=failed_passwords,
        buckets=period.buckets(counts),
    )
