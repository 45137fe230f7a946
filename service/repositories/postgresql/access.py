"""Access to protected links in PostgreSQL: the look-ups of tokens' checks, and unlocks."""

import secrets
import time
from collections.abc import Sequence
from functools import partial

from service.domain.access import AccessRequirements, LinkAccess
from service.repositories.postgresql.engine.database import Database
from service.repositories.postgresql.engine.statements import (
    NOW,
    NOW_SECOND,
    Batch,
    read,
    storable,
    write,
)
from service.repositories.postgresql.link_rows import LINK_WIDTH, has_expired, link_of, report_json
from service.repositories.postgresql.link_sql import (
    DEADLINE,
    LINK_COLUMNS,
    OF_A_LIVING_VIDEO,
    PUBLIC_REPORT_COLUMNS,
    status_sql,
)
from service.repositories.postgresql.revocations import not_revoked
from service.repositories.postgresql.statistics import counted
from service.repositories.unlocks import PendingUnlock, SharedUnlocks

# An AccessRequirements; a batch finds its results by the first column.
_REQUIREMENTS = """shared_reports.share_hash, shared_reports.id,
           shared_reports.max_views IS NOT NULL, shared_reports.password,
           shared_reports.access_revision"""

_ACCESS = f"""{_REQUIREMENTS}, {DEADLINE}, {status_sql("shared_reports")},
           (shared_reports.not_before > {NOW}) IS NOT TRUE, {LINK_COLUMNS}"""

_FROM = f"""FROM shared_reports JOIN videos ON videos.id = shared_reports.video_id
     WHERE shared_reports.share_hash = ANY(:share_hashes::text[]) AND {OF_A_LIVING_VIDEO}"""

_CHECK = read(
    f"""-- check links
    SELECT {_ACCESS} {_FROM}"""
)

_VIEW = read(
    f"""-- view unlocked links
    SELECT {_ACCESS}, {PUBLIC_REPORT_COLUMNS} {_FROM}"""
)

# Of the unlocks of one link, as many are granted as it has views left: those that the locked row
# has, whichever instance counted the others. They are counted in the row, and the row is on disk,
# before anyone is shown anything. Locked in the order of ids, so that no two statements wait for
# each other. Never repeated after its answer was lost: the views may have been counted. The cause
# tells the triggers of events that these views are unlocks.
_UNLOCK = write(
    f"""-- unlock links
      WITH cause AS MATERIALIZED (SELECT set_config('shared_reports.cause', 'unlock', true)),
           unlock AS (
           SELECT * FROM unnest(:share_hashes::text[], :passwords::text[], :counts::bigint[],
                                :of_pages::boolean[])
               AS unlock (share_hash, password, count, is_page)),
           locked AS MATERIALIZED (
           SELECT shared_reports.id, shared_reports.video_id, shared_reports.view_count,
                  unlock.is_page, least(unlock.count,
                  shared_reports.max_views - shared_reports.view_count) AS granted
             FROM unlock JOIN shared_reports ON shared_reports.share_hash = unlock.share_hash
            WHERE shared_reports.password IS NOT DISTINCT FROM unlock.password
              AND {status_sql("shared_reports")} = 'active' AND {not_revoked()}
            ORDER BY shared_reports.id FOR NO KEY UPDATE OF shared_reports),
           {
        counted(f'''SELECT video_id, id,
                  (extract(epoch FROM {NOW_SECOND})::bigint / 3600)::integer AS hour,
                  CASE WHEN is_page THEN 0 ELSE granted END AS api,
                  CASE WHEN is_page THEN granted ELSE 0 END AS pages,
                  0 AS bots, 0 AS downloads, 0 AS failed_passwords,
                  CASE WHEN view_count = 0 THEN {NOW_SECOND} END AS first,
                  {NOW_SECOND} AS latest
             FROM locked''')
    }
    UPDATE shared_reports
       SET view_count = shared_reports.view_count + locked.granted,
           page_view_count = shared_reports.page_view_count
               + CASE WHEN locked.is_page THEN locked.granted ELSE 0 END,
           first_viewed_at = CASE WHEN shared_reports.view_count = 0 THEN {NOW_SECOND}
                             ELSE shared_reports.first_viewed_at END,
           last_viewed_at = greatest(shared_reports.last_viewed_at, {NOW_SECOND})
      FROM locked CROSS JOIN cause
     WHERE shared_reports.id = locked.id
    RETURNING {_REQUIREMENTS}, locked.granted"""
)

_GET_KEY = read(
    """-- get the signing key
    SELECT key FROM signing_key"""
)

_MAKE_KEY = write(
    """-- make the signing key
    INSERT INTO signing_key (id, key) VALUES (1, :key) ON CONFLICT (id) DO NOTHING""",
    repeats=True,
)

_REQUIREMENTS_WIDTH = len(AccessRequirements.__struct_fields__)
_LINK_AT = _REQUIREMENTS_WIDTH + 3
_REPORT_AT = _LINK_AT + LINK_WIDTH


class PostgresqlAccess(SharedUnlocks):
    """Look-ups and writes of access to protected links: see ``base_access.AccessRepository``."""

    def __init__(self, database: Database) -> None:
        self._lookups, self._writer = database.lookups, database.writer
        self._now = database.now
        self._signing_key = b""
        self._check: Batch[str] = Batch(_CHECK, self._hashes, merges=True)
        self._view: Batch[str] = Batch(_VIEW, self._hashes, merges=True)
        super().__init__(partial(self._writer.submit, Batch(_UNLOCK, self._unlocks)))

    async def make_signing_key(self) -> None:
        """Make the key that access tokens are signed with, if the database has none.

        Many instances may do so at once: one of the keys is stored, and all use that one.
        """
        rows = await self._lookups.fetch_all(_GET_KEY)
        if not rows:
            await self._writer.execute(_MAKE_KEY, key=secrets.token_bytes(32))
            rows = await self._writer.fetch_all(_GET_KEY)
        self._signing_key = rows[0][0]

    def signing_key(self) -> bytes:
        """Return the key of the database. ``make_signing_key`` has read it."""
        return self._signing_key

    async def find(self, share_hash: str, now: str) -> LinkAccess | None:  # noqa: ARG002 - other engines need it
        """Return what decides who may see a link, without its report.

        The look-up is sent after the call. A row that may be back after its expiry is looked up
        again, so that the server decides. ``now`` is not used: see ``Database.now``.
        """
        return await self._find(self._check, share_hash)

    async def find_with_report(self, share_hash: str, now: str) -> LinkAccess | None:  # noqa: ARG002 - other engines need it
        """Return what decides who may see a link, with its report: see ``find``."""
        return await self._find(self._view, share_hash)

    async def _find(self, batch: Batch[str], share_hash: str) -> LinkAccess | None:
        while row := await self._lookups.submit(batch, share_hash, share_hash):
            deadline, status, has_begun = row[_REQUIREMENTS_WIDTH:_LINK_AT]
            link = link_of(row[_LINK_AT:])
            is_decided = status in {"inactive", "expired"}
            if is_decided or not has_expired(self._now(), link.expires_at, deadline):
                report = report_json(row[_REPORT_AT:]) if batch is self._view else b""
                requirements = AccessRequirements(*row[:_REQUIREMENTS_WIDTH])
                return LinkAccess(status, has_begun, requirements, link, report)
        return None

    def _hashes(self, share_hashes: Sequence[str]) -> dict[str, object]:
        # One that cannot be stored would fail the statement, and with it the other callers.
        return {
            "share_hashes": list(map(storable, share_hashes)),
            "now": self._now,
            "sent_at": time.perf_counter,
        }

    def _unlocks(self, unlocks: Sequence[PendingUnlock]) -> dict[str, object]:
        self.stop_joining(unlocks)
        return {
            "share_hashes": [pending.requirements.share_hash for pending in unlocks],
            "passwords": [pending.requirements.password for pending in unlocks],
            "counts": [pending.count for pending in unlocks],
            "of_pages": [pending.is_page for pending in unlocks],
            "now": self._now,
        }
