"""Links: the table ``shared_reports``."""

from collections.abc import Awaitable, Sequence
from typing import cast

from service.domain.clock import Now
from service.domain.errors import UnavailableError
from service.domain.idempotency import IdempotencyRecord
from service.domain.links import (
    CreatedLink,
    LinkSettings,
    ReportWithAnalysis,
    SharedReport,
)
from service.domain.types import row_id
from service.repositories.base import FoundCreation, TakeViews, ViewedLink
from service.repositories.link_mapping import change_error, modules_of, shared_report
from service.repositories.sqlite import link_sql
from service.repositories.sqlite.analyses import READ_TRIES, Analyses
from service.repositories.sqlite.engine.batch import Batch
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.link_rows import (
    analysis_of,
    encode_json,
    new_row,
    report_with_analysis,
    viewed_link,
)
from service.repositories.sqlite.revocations import Revocations
from service.repositories.sqlite.usage import SqliteUsage

_REVOKES: Batch[tuple[int, str]] = Batch(link_sql.REVOKE, list)


class SqliteLinks:
    """The table of links: see ``base.LinkRepository``."""

    sweep_seconds = 0.02
    """There is one writer: with the wait for the disk, others wait for it at most 50 ms."""

    def __init__(self, database: Database, now: Now, usage: SqliteUsage) -> None:
        self._reader, self._read_worker = database.reader, database.read_worker
        self._writer = database.writer
        self._usage = usage
        self._now = now
        self._revocations = Revocations(database)
        self._analyses = Analyses(database, now)
        limit = usage.quotas.links
        statement = link_sql.CREATE if limit is None else link_sql.CREATE_WITHIN_QUOTA
        self._create: Batch[tuple[object, ...]] = Batch(statement, self._with_time)
        self._limit = () if limit is None else (limit,)

    def insert(
        self,
        share_hash: str,
        user_id: str,
        video: str,
        settings: LinkSettings,
        record: IdempotencyRecord | None = None,
    ) -> Awaitable[CreatedLink | None]:
        """Store a new link: see ``base.LinkRepository.insert``."""
        new = new_row(share_hash, user_id, video, settings, record)
        # Exclusive with a key: two calls with the same key must not share a statement.
        row = self._writer.submit(self._create, share_hash, new, exclusive=record is not None)
        return cast("Awaitable[CreatedLink | None]", row)

    async def find_videos(self, user_id: str, video: str) -> dict[int, str]:
        """Return the user's videos with this job id or id: see ``base.LinkRepository``."""
        return dict(
            self._reader.fetch_all(
                link_sql.FIND_VIDEOS, user_id=user_id, video=video, video_id=row_id(video)
            )
        )

    async def find_modules(self, user_id: str, video: str) -> tuple[str, ...]:
        """Return the modules of the user's video of this name: see ``base.LinkRepository``."""
        return modules_of(
            self._reader.fetch_all(
                link_sql.FIND_MODULES, user_id=user_id, video=video, video_id=row_id(video)
            )
        )

    async def find_modules_of_link(self, user_id: str, report_id: str) -> tuple[str, ...]:
        """Return the modules of the video of a user's link: see ``base.LinkRepository``."""
        return modules_of(
            self._reader.fetch_all(
                link_sql.FIND_MODULES_OF_LINK, user_id=user_id, id=row_id(report_id)
            )
        )

    async def has_share_hash(self, share_hash: str) -> bool:
        """Return whether a link has this hash."""
        return bool(self._reader.fetch_all(link_sql.HAS_SHARE_HASH, share_hash=share_hash))

    async def find_creation(self, user_id: str, key: str) -> FoundCreation | None:
        """Return the link that a call with this key created: see ``base.LinkRepository``."""
        rows = self._reader.fetch_all(
            link_sql.FIND_CREATION, user_id=user_id, key=key, now=self._now()
        )
        if not rows:
            return None
        [(*link, digest, expires_at)] = rows
        return CreatedLink(*link), digest, expires_at

    async def find_view(self, share_hash: str, now: str) -> ViewedLink | None:
        """Return a link as a view needs it, from the row cache if it is there."""
        row = self._reader.get_cached(link_sql.VIEW, share_hash, now, viewed_link)
        return cast("ViewedLink | None", row)

    async def find_report(self, share_hash: str) -> ReportWithAnalysis | None:
        """Return a link's report with the whole analysis, also of modules it does not show."""
        for _ in range(READ_TRIES):
            rows = await self._read_worker.fetch_all(
                link_sql.VIEW_WITH_ANALYSIS, share_hash=share_hash
            )
            if not rows:
                return None
            segments = await self._analyses.read(*analysis_of(rows[0]))
            if segments is not None:
                return report_with_analysis(rows[0], segments)
        raise UnavailableError("The video is being replaced. Try again.")

    async def add_views(self, take_views: TakeViews) -> None:
        """Add views to links: see ``base.LinkRepository.add_views``."""
        await self._writer.fetch_all(
            link_sql.ADD_VIEWS,
            viewed=lambda: encode_json(take_views().by_link),
            hour=lambda: take_views().hour,
        )

    async def change(
        self, user_id: str, report_id: str, settings: LinkSettings, take_views: TakeViews
    ) -> SharedReport:
        """Change a user's link: see ``base.LinkRepository.change``."""
        link_id = row_id(report_id)

        def views() -> str:
            return encode_json(take_views().by_link.get(link_id or 0))

        parameters = {
            "user_id": user_id,
            "id": link_id,
            "settings": encode_json(settings),
            "hour": lambda: take_views().hour,
            "max_links": self._usage.quotas.links,
            "now": self._now,
        }
        rows = await self._writer.fetch_all(link_sql.CHANGE, **parameters, views=views)
        if not rows:
            values = parameters | {"hour": 0, "now": self._now()}
            explanation = self._reader.fetch_all(link_sql.EXPLAIN_CHANGE, **values, views=views())
            raise change_error(explanation, await self._usage.get(user_id))
        return shared_report(rows[0])

    async def rotate(self, user_id: str, report_id: str, share_hash: str) -> SharedReport | None:
        """Give a user's link a new hash. Return None if the hash is taken or there is no link."""
        rows = await self._writer.fetch_all(
            link_sql.ROTATE,
            user_id=user_id,
            id=row_id(report_id),
            share_hash=share_hash,
            now=self._now,
        )
        return shared_report(rows[0]) if rows else None

    async def delete(self, user_id: str, report_id: str) -> bool:
        """Delete a user's link. Return whether there was one."""
        link_id = row_id(report_id) or 0
        return await self._writer.submit(_REVOKES, link_id, (link_id, user_id)) is not None

    async def revoke_all(self, user_id: str, job_id: str) -> int:
        """Revoke all links of a user's video. Return how many. Raises NotFoundError."""
        return await self._revocations.revoke(user_id, job_id)

    async def delete_revoked(self, limit: int) -> int:
        """Delete up to about ``limit`` rows that bulk revocations and videos left behind."""
        count = await self._revocations.delete_rows(limit)
        return count + await self._analyses.delete_unused(limit)

    async def deactivate_expired(self, limit: int) -> int:
        """Deactivate up to ``limit`` expired links. Return how many; 0 if none is left."""
        return await self._writer.execute(link_sql.SWEEP, now=self._now, limit=limit)

    async def delete_old_keys(self, limit: int) -> int:
        """Delete up to ``limit`` idempotency keys older than a day. Return how many."""
        return await self._writer.execute(link_sql.DELETE_OLD_KEYS, now=self._now, limit=limit)

    async def count_expired(self) -> int:
        """Return how many expired links are still to be deactivated."""
        [[count]] = await self._read_worker.fetch_all(link_sql.COUNT_EXPIRED, now=self._now)
        return int(count)

    async def next_expiry(self) -> str | None:
        """Return the earliest time at which an active link expires."""
        expiry: str | None = self._reader.fetch_all(link_sql.NEXT_EXPIRY)[0][0]
        return expiry

    def _with_time(self, rows: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
        now = self._now()
        return [(*row, now, *self._limit) for row in rows]
