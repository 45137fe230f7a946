"""Links that ask for something before they show their report: what, and who has done it.

A link asks for a password, or, where its views are limited, that it be opened: each opening is one
of them. Whoever has opened it brings a token from then on.
"""

import asyncio
import secrets
from collections.abc import Sequence

import msgspec

from service.domain.access import AccessRequirements, LinkAccess
from service.domain.clock import Now
from service.repositories.sqlite.engine.batch import Batch, BatchStatement
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.engine.statements import Row
from service.repositories.sqlite.links import PUBLIC_REPORT, STATUS

# A Gate; a batch finds its answers by the first of them.
_GATE = """shared_reports.share_hash, shared_reports.id, shared_reports.max_views IS NOT NULL,
           shared_reports.password"""

_CHECK = f"""-- check a link
    SELECT {STATUS}, expires_at, {_GATE}, modules FROM shared_reports
     WHERE share_hash = :share_hash"""

_VIEW = f"""-- view an opened link
    SELECT {STATUS}, shared_reports.expires_at, {_GATE}, {PUBLIC_REPORT}
      FROM shared_reports JOIN videos ON videos.id = shared_reports.video_id
     WHERE shared_reports.share_hash = :share_hash"""

# Of those who stand before a link as many are let in as it has views left. They are counted in the
# row, and the row is on disk, before anyone is shown anything.
_OPEN = BatchStatement(
    "open links",
    "crowd",
    ("share_hash", "password", "size", "now"),
    f"""UPDATE shared_reports
       SET opened = min(crowd.size, coalesce(max_views - view_count, 1 << 62)),
           view_count = min(view_count + crowd.size, coalesce(max_views, 1 << 62)),
           last_viewed_at = crowd.now
      FROM crowd
     WHERE shared_reports.share_hash = crowd.share_hash
       AND shared_reports.password IS crowd.password
       AND {STATUS.replace(":now", "crowd.now")} = 'active'
    RETURNING {_GATE}, opened""",
)

_GET_KEY = """-- get the signing key
    SELECT key FROM signing_key"""

_MAKE_KEY = """-- make the signing key
    INSERT INTO signing_key (id, key) VALUES (1, :key)"""


class _PendingUnlock(msgspec.Struct):
    """Unlocks of one link that wait for the same statement."""

    requirements: AccessRequirements
    count: int = 0


class SqliteAccess:
    """Look-ups and writes behind access to protected links: see ``base.AccessRepository``."""

    def __init__(self, database: Database, now: Now) -> None:
        self._reader, self._writer = database.reader, database.writer
        self._now = now
        self._unlock: Batch[_PendingUnlock] = Batch(_OPEN, self._rows)
        self._pending: dict[
            AccessRequirements, tuple[_PendingUnlock, asyncio.Future[Row | None]]
        ] = {}
        """The unlocks that others may still join."""

    async def signing_key(self) -> bytes:
        """Return the key that access tokens are signed with; made once, kept for ever."""
        if not self._reader.fetch_all(_GET_KEY):
            await self._writer.fetch_all(_MAKE_KEY, key=secrets.token_bytes(32))
        [[key]] = self._reader.fetch_all(_GET_KEY)
        return bytes(key)

    async def find(self, share_hash: str, now: str) -> LinkAccess | None:
        """Return what decides who may see a link, without its report."""
        rows = self._reader.fetch_all(_CHECK, share_hash=share_hash, now=now)
        if not rows:
            return None
        [(status, expires_at, *requirements, modules)] = rows
        return LinkAccess(status, expires_at, AccessRequirements(*requirements), modules)

    async def find_with_report(self, share_hash: str, now: str) -> LinkAccess | None:
        """Return what decides who may see a link, with its report."""
        rows = self._reader.fetch_all(_VIEW, share_hash=share_hash, now=now)
        if not rows:
            return None
        [(status, expires_at, *requirements, report)] = rows
        return LinkAccess(status, expires_at, AccessRequirements(*requirements), None, report)

    async def unlock(self, requirements: AccessRequirements) -> AccessRequirements | None:
        """Count one view of a link: see ``base.AccessRepository.unlock``."""
        if requirements not in self._pending:
            pending = _PendingUnlock(requirements)
            future = self._writer.submit(self._unlock, requirements.share_hash, pending)
            self._pending[requirements] = pending, future
            future.add_done_callback(lambda _: self._close(pending))
        pending, future = self._pending[requirements]
        position, pending.count = pending.count, pending.count + 1
        row = await asyncio.shield(future)  # the other unlocks wait for it, too
        if row is None or position >= row[-1]:
            return None
        return AccessRequirements(*row[:-1])

    def _rows(self, unlocks: Sequence[_PendingUnlock]) -> list[tuple[object, ...]]:
        now = self._now()
        for pending in unlocks:
            self._close(pending)
        return [
            (pending.requirements.share_hash, pending.requirements.password, pending.count, now)
            for pending in unlocks
        ]

    def _close(self, pending: _PendingUnlock) -> None:
        """Let no other unlock join: the statement is on its way, or has failed."""
        joinable, _ = self._pending.get(pending.requirements, (None, None))
        if joinable is pending:
            del self._pending[pending.requirements]
