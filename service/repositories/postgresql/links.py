"""Links: the table ``shared_reports``."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from service.domain.idempotency import IdempotencyRecord
from service.domain.links import (
    ACTIVE_STATES,
    CreatedLink,
    LinkSettings,
    ReportWithAnalysis,
    SharedReport,
)
from service.domain.types import row_id
from service.repositories.base import TakeViews, ViewedLink, Views
from service.repositories.link_mapping import change_error, modules_of, shared_report
from service.repositories.postgresql import link_sql
from service.repositories.postgresql.engine.database import Database
from service.repositories.postgresql.engine.errors import AnswerLostError, DuplicateError
from service.repositories.postgresql.engine.statements import Batch, storable
from service.repositories.postgresql.link_rows import (
    changed_values,
    has_expired,
    new_columns,
    new_row,
    report_with_analysis,
    viewed_link,
)
from service.repositories.postgresql.revocations import Revocations

_SWEEP_LOCK = 0x5368_6172_6564_5357
"""The advisory lock of the instance that deactivates expired links."""


def _revoked(items: Sequence[tuple[int, str]]) -> dict[str, object]:
    return {"ids": [link_id for link_id, _ in items], "user_ids": [user for _, user in items]}


_REVOKES: Batch[tuple[int, str]] = Batch(link_sql.REVOKE, _revoked)


class PostgresqlLinks:
    """The table of links: see ``base.LinkRepository``."""

    sweep_seconds = 0.04
    """A change of a link that has expired waits for a batch, and so do writes with events of a user
    whose expired links have events. Small batches wait for the disk."""

    def __init__(self, database: Database) -> None:
        self._lookups, self._writer, self._long = database.lookups, database.writer, database.long
        self._now, self._confirm = database.now, database.confirm
        self._revocations = Revocations(database)
        self._create: Batch[tuple[object, ...]] = Batch(link_sql.CREATE, self._new)
        self._view: Batch[str] = Batch(link_sql.VIEW, self._hashes, merges=True)
        self._sweeps_elsewhere = False
        """Whether another instance deactivated expired links when this one last tried."""

    async def insert(
        self,
        share_hash: str,
        user_id: str,
        video: str,
        settings: LinkSettings,
        record: IdempotencyRecord | None = None,
    ) -> CreatedLink | None:
        """Store a new link: see ``base.LinkRepository.insert``."""
        new = new_row(share_hash, user_id, video, settings)
        insert = partial(self._insert, share_hash, new, record)
        try:
            link = await insert()
        except (
            AnswerLostError
        ):  # if the link was stored, the second time finds its hash, or its key
            link = await insert() or await self._find_created(share_hash, user_id)
            await self._confirm()
        return link

    async def _insert(
        self, share_hash: str, new: tuple[object, ...], record: IdempotencyRecord | None
    ) -> CreatedLink | None:
        if record is None:
            row = await self._writer.submit(self._create, share_hash, new)
            return None if row is None else CreatedLink(*row)
        try:
            rows = await self._writer.fetch_all(
                link_sql.CREATE_ONCE,
                **new_columns([new]),
                request_key=record.key,
                request_digest=record.body,
                now=self._now,
            )
        except DuplicateError:  # the hash is taken
            return None
        return CreatedLink(*rows[0]) if rows else None

    async def _find_created(self, share_hash: str, user_id: str) -> CreatedLink | None:
        rows = await self._lookups.fetch_all(
            link_sql.FIND_CREATED, share_hash=share_hash, user_id=user_id
        )
        return CreatedLink(*rows[0]) if rows else None

    async def find_videos(self, user_id: str, video: str) -> dict[int, str]:
        """Return the user's videos with this job id or id: see ``base.LinkRepository``."""
        rows = await self._lookups.fetch_all(
            link_sql.FIND_VIDEOS, user_id=user_id, video=storable(video), video_id=row_id(video)
        )
        return dict(map(tuple, rows))

    async def find_modules(self, user_id: str, video: str) -> tuple[str, ...]:
        """Return the modules of the user's video of this name: see ``base.LinkRepository``."""
        rows = await self._lookups.fetch_all(
            link_sql.FIND_MODULES, user_id=user_id, video=storable(video), video_id=row_id(video)
        )
        return modules_of(rows)

    async def find_modules_of_link(self, user_id: str, report_id: str) -> tuple[str, ...]:
        """Return the modules of the video of a user's link: see ``base.LinkRepository``."""
        rows = await self._lookups.fetch_all(
            link_sql.FIND_MODULES_OF_LINK, user_id=user_id, id=row_id(report_id)
        )
        return modules_of(rows)

    async def has_share_hash(self, share_hash: str) -> bool:
        """Return whether a link has this hash."""
        rows = await self._lookups.fetch_all(link_sql.HAS_SHARE_HASH, share_hash=share_hash)
        return bool(rows)

    async def find_creation(self, user_id: str, key: str) -> tuple[CreatedLink, str] | None:
        """Return the link that a call with this idempotency key created, and its body's digest."""
        rows = await self._lookups.fetch_all(
            link_sql.FIND_CREATION, user_id=user_id, key=key, now=self._now
        )
        if not rows:
            return None
        [(*link, digest)] = rows
        return CreatedLink(*link), digest

    async def find_view(self, share_hash: str, now: str) -> ViewedLink | None:  # noqa: ARG002 - other engines need it
        """Return a link as a view needs it, by a look-up that is sent after the call.

        A row that may be back after its expiry is looked up again, so that the server decides.
        ``now`` is not used: see ``Database.now``.
        """
        while row := await self._lookups.submit(self._view, share_hash, share_hash):
            deadline, status, expires_at = row[1:4]
            if status not in ACTIVE_STATES or not has_expired(self._now(), expires_at, deadline):
                return viewed_link(row)
        return None

    async def find_report(self, share_hash: str) -> ReportWithAnalysis | None:
        """Return a link's report with the whole analysis, also of modules it does not show."""
        rows = await self._long.fetch_all(
            link_sql.VIEW_WITH_ANALYSIS, share_hash=storable(share_hash)
        )
        return report_with_analysis(rows[0]) if rows else None

    async def add_views(self, take_views: TakeViews) -> None:
        """Add views to links: see ``base.LinkRepository.add_views``."""
        await self._writer.execute(
            link_sql.ADD_VIEWS,
            ids=lambda: list(take_views()),
            people=lambda: [views[0] for views in take_views().values()],
            bots=lambda: [views[1] for views in take_views().values()],
            times=lambda: [views[2] for views in take_views().values()],
        )

    async def change(
        self, user_id: str, report_id: str, settings: LinkSettings, take_views: TakeViews
    ) -> SharedReport:
        """Change a user's link: see ``base.LinkRepository.change``."""
        link_id = row_id(report_id)

        def views() -> Views:
            return take_views().get(link_id or 0, (0, 0, None))

        parameters: dict[str, Any] = {
            "user_id": user_id,
            "id": link_id,
            "views": lambda: views()[0],
            "bot_views": lambda: views()[1],
            "viewed_at": lambda: views()[2],
            "now": self._now,
            **changed_values(settings),
        }
        rows = await self._writer.fetch_all(link_sql.CHANGE, **parameters)
        if not rows:
            raise change_error(await self._lookups.fetch_all(link_sql.EXPLAIN_CHANGE, **parameters))
        return shared_report(rows[0])

    async def rotate(self, user_id: str, report_id: str, share_hash: str) -> SharedReport | None:
        """Give a user's link a new hash. Return None if the hash is taken or there is no link."""
        parameters = {"user_id": user_id, "id": row_id(report_id), "share_hash": share_hash}
        try:
            rows = await self._writer.fetch_all(link_sql.ROTATE, **parameters, now=self._now)
        except DuplicateError:
            return None
        except AnswerLostError:
            rows = await self._lookups.fetch_all(link_sql.FIND_ROTATED, **parameters, now=self._now)
            if not rows:
                raise
            await self._confirm()
        return shared_report(rows[0]) if rows else None

    async def delete(self, user_id: str, report_id: str) -> bool:
        """Delete a user's link. Return whether there was one."""
        link_id = row_id(report_id) or 0
        try:
            return await self._writer.submit(_REVOKES, link_id, (link_id, user_id)) is not None
        except AnswerLostError:  # it may be gone: to find nothing now is success
            await self._writer.submit(_REVOKES, link_id, (link_id, user_id))
            await self._confirm()
            return True

    async def revoke_all(self, user_id: str, job_id: str) -> int:
        """Revoke all links of a user's video. Return how many. Raises NotFoundError."""
        return await self._revocations.revoke(user_id, job_id)

    async def delete_revoked(self, limit: int) -> int:
        """Delete up to ``limit`` rows that bulk revocations and deleted videos left behind."""
        return await self._revocations.delete_rows(limit)

    async def deactivate_expired(self, limit: int) -> int:
        """Deactivate up to ``limit`` expired links. Return how many; 0 if none is left.

        0 as well while another instance does it: one at a time is enough.
        """
        [[is_ours, count]] = await self._long.fetch_all(
            link_sql.SWEEP, now=self._now, limit=limit, lock=_SWEEP_LOCK
        )
        self._sweeps_elsewhere = not is_ours
        return int(count)

    async def delete_old_keys(self, limit: int) -> int:
        """Delete up to ``limit`` idempotency keys older than a day. Return how many."""
        return await self._long.execute(link_sql.DELETE_OLD_KEYS, now=self._now, limit=limit)

    async def count_expired(self) -> int:
        """Return how many expired links are still to be deactivated."""
        [[count]] = await self._long.fetch_all(link_sql.COUNT_EXPIRED, now=self._now)
        return int(count)

    async def next_expiry(self) -> str | None:
        """Return the earliest time at which an active link expires.

        None if another instance was deactivating expired links a moment ago: it goes on with it.
        """
        if self._sweeps_elsewhere:
            self._sweeps_elsewhere = False
            return None
        expiry: str | None = (await self._lookups.fetch_all(link_sql.NEXT_EXPIRY))[0][0]
        return expiry

    def _hashes(self, share_hashes: Sequence[str]) -> dict[str, object]:
        # One that cannot be stored would fail the statement, and with it the other callers.
        return {
            "share_hashes": list(map(storable, share_hashes)),
            "now": self._now,
            "sent_at": time.perf_counter,
        }

    def _new(self, rows: Sequence[tuple[object, ...]]) -> dict[str, object]:
        return new_columns(rows) | {"now": self._now}
