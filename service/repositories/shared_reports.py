"""Links: the table ``shared_reports``."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from service.clock import Now
from service.database import Database
from service.errors import ExpiredError, NotFoundError
from service.lane import Batch, Parameters, Row
from service.models import LinkCounts, PublicReport, SharedReport, WholeReport, row_id
from service.repositories.videos import PUBLIC_COLUMNS, SEGMENTS, public_video

_SWEEP_ROWS = 200
_HASH_TRIES = 8  # with 95 bits of chance, a second is not to be expected in a lifetime

# A link is dead from `expires_at` on, whether or not the background task has been by; once that
# has deactivated it, it stays dead even if the clock is put back.
_IS_ACTIVE = """(shared_reports.is_active
    AND (shared_reports.expires_at IS NULL OR shared_reports.expires_at > :now))"""

# `share_hash` stands first: a batch finds its answers by it.
_COLUMNS = f"""
    shared_reports.share_hash, shared_reports.id, shared_reports.user_id,
    shared_reports.video_id, shared_reports.expires_at, {_IS_ACTIVE}, shared_reports.created_at"""

_CREATE = f"""-- create links
    INSERT INTO shared_reports (user_id, video_id, share_hash, expires_at, created_at)
    SELECT videos.user_id, videos.id, new.value ->> 'share_hash', new.value ->> 'expires_at', :now
      FROM json_each(:new) AS new
      JOIN videos ON videos.user_id = new.value ->> 'user_id' AND videos.id = coalesce(
           (SELECT id FROM videos
             WHERE user_id = new.value ->> 'user_id' AND job_id = new.value ->> 'video'),
           new.value ->> 'video_id')
     WHERE TRUE
        ON CONFLICT (share_hash) DO NOTHING
    RETURNING {_COLUMNS}"""

_EXISTS = """-- look for a share hash
    SELECT 1 FROM shared_reports WHERE share_hash = :share_hash"""

_VIEW = f"""-- view links
    SELECT shared_reports.share_hash, {_IS_ACTIVE}, shared_reports.expires_at,
           shared_reports.created_at, {PUBLIC_COLUMNS}
      FROM json_each(:wanted) AS wanted
     CROSS JOIN shared_reports ON shared_reports.share_hash = wanted.value
      JOIN videos ON videos.id = shared_reports.video_id"""

_VIEW_WHOLE = f"""-- view a link's analysis
    SELECT shared_reports.share_hash, {_IS_ACTIVE}, shared_reports.expires_at,
           shared_reports.created_at, {PUBLIC_COLUMNS}, CASE WHEN {_IS_ACTIVE} THEN {SEGMENTS} END
      FROM shared_reports JOIN videos ON videos.id = shared_reports.video_id
     WHERE shared_reports.share_hash = :share_hash"""

_LIST = f"""-- list a video's links
    SELECT {_COLUMNS}
      FROM videos LEFT JOIN shared_reports ON shared_reports.video_id = videos.id
     WHERE videos.user_id = :user_id AND videos.job_id = :job_id
     ORDER BY shared_reports.id DESC"""

_REVOKE = """-- revoke a link
    DELETE FROM shared_reports WHERE id = :id AND user_id = :user_id RETURNING id"""

_SWEEP = f"""-- deactivate expired links
    UPDATE shared_reports SET is_active = 0 WHERE id IN (
           SELECT id FROM shared_reports
            WHERE is_active = 1 AND expires_at <= :now
            ORDER BY expires_at LIMIT {_SWEEP_ROWS})
    RETURNING id"""

_COUNT_EXPIRED = """-- count expired links
    SELECT count(*) FROM shared_reports WHERE is_active = 1 AND expires_at <= :now"""

# Reads every row: 60 ms for a million links.
_COUNT_BY_STATE = f"""-- count links by state
    SELECT count(*) FILTER (WHERE {_IS_ACTIVE}), count(*) FILTER (WHERE NOT {_IS_ACTIVE}),
           min(expires_at) FILTER (WHERE is_active = 1 AND expires_at <= :now)
      FROM shared_reports"""

_NEXT_EXPIRY = """-- find the next expiry
    SELECT min(expires_at) FROM shared_reports WHERE is_active = 1 AND expires_at IS NOT NULL"""


class SharedReports:
    """The verbs on links: the owner's, the public's, and the background task's."""

    def __init__(self, database: Database, now: Now, new_share_hash: Callable[[], str]) -> None:
        self._database = database
        self._reader, self._writer = database.reader, database.writer
        self._now = now
        self._new_share_hash = new_share_hash
        self._create: Batch[dict[str, Any]] = Batch(_CREATE, self._bind_new, shares=False)
        self._view: Batch[str] = Batch(_VIEW, self._bind_wanted, shares=True)

    async def create(self, user_id: str, video: str, expires_at: str | None) -> SharedReport:
        """Create a link to a user's video, named by its job id or its id; the job id wins.

        Raises NotFoundError where the user has no such video.
        """
        for _ in range(_HASH_TRIES):
            share_hash = self._new_share_hash()
            new = {
                "share_hash": share_hash,
                "user_id": user_id,
                "video": video,
                "video_id": row_id(video),
                "expires_at": expires_at,
            }
            row = await self._writer.join(self._create, share_hash, new)
            if row is not None:
                return _shared_report(row)
            if not await self._reader.fetch(_EXISTS, share_hash=share_hash):
                raise NotFoundError("No such video.")
        raise RuntimeError(f"{_HASH_TRIES} new share hashes in a row were taken already")

    async def view(self, share_hash: str) -> PublicReport:
        """What the link shows. Raises NotFoundError or ExpiredError."""
        row = self._alive(await self._reader.join(self._view, share_hash, share_hash))
        return PublicReport(row[0], public_video(row[4:]), row[3])

    async def view_whole(self, share_hash: str, module: str | None = None) -> WholeReport:
        """What the link shows with the analysis behind it, of one module if named.

        Raises NotFoundError or ExpiredError.
        """
        rows = await self._database.scanner.fetch(
            _VIEW_WHOLE, share_hash=share_hash, module=module, now=self._now
        )
        row = self._alive(rows[0] if rows else None)
        return WholeReport(public_video(row[4:-1]), row[2], bytes(row[-1]))

    async def list_for_video(self, user_id: str, job_id: str) -> list[SharedReport]:
        """All links of a user's video, newest first. Raises NotFoundError."""
        rows = await self._database.scanner.fetch(
            _LIST, user_id=user_id, job_id=job_id, now=self._now
        )
        if not rows:
            raise NotFoundError("No such video.")
        return [_shared_report(row) for row in rows if row[0] is not None]

    async def revoke(self, user_id: str, report_id: str) -> None:
        """Delete a user's link; it is dead when this returns. Raises NotFoundError."""
        if not await self._writer.fetch(_REVOKE, user_id=user_id, id=row_id(report_id)):
            raise NotFoundError("No such shared report.")
        await self._database.settled()  # no view that has seen the link may still be on its way

    async def sweep(self) -> int:
        """Deactivate a small batch of expired links. Returns how many; 0 when none is left."""
        return len(await self._writer.fetch(_SWEEP, now=self._now))

    async def count_expired(self) -> int:
        """How many expired links have still to be deactivated."""
        return int((await self._database.scanner.fetch(_COUNT_EXPIRED, now=self._now))[0][0])

    async def count_by_state(self) -> LinkCounts:
        """How many links there are in each state."""
        return LinkCounts(*(await self._database.scanner.fetch(_COUNT_BY_STATE, now=self._now))[0])

    async def next_expiry(self) -> str | None:
        """The soonest moment at which an active link expires."""
        moment: str | None = (await self._reader.fetch(_NEXT_EXPIRY))[0][0]
        return moment

    def _alive(self, row: Row | None) -> Row:
        """A row of a living link: ``share_hash, is_active, expires_at, …``.

        The row is as old as its trip, so the clock is asked once more: no answer may begin at or
        after the link's end.
        """
        if row is None:
            raise NotFoundError("No such shared report.")
        is_active, expires_at = row[1], row[2]
        if not is_active or (expires_at is not None and expires_at <= self._now()):
            raise ExpiredError(expires_at)
        return row

    def _bind_new(self, new: Sequence[dict[str, Any]]) -> Parameters:
        return {"new": msgspec.json.encode(new).decode(), "now": self._now()}

    def _bind_wanted(self, wanted: Sequence[str]) -> Parameters:
        return {"wanted": msgspec.json.encode(wanted).decode(), "now": self._now()}


def _shared_report(row: Row) -> SharedReport:
    share_hash, report_id, user_id, video_id, expires_at, is_active, created_at = row
    return SharedReport(
        id=str(report_id),
        user_id=user_id,
        video_id=str(video_id),
        share_hash=share_hash,
        expires_at=expires_at,
        is_active=is_active,
        created_at=created_at,
    )
