"""Access to protected links in SQLite: the look-ups of tokens' checks, and unlocks."""

import secrets
from collections.abc import Sequence
from functools import partial
from typing import cast

from service.domain.access import AccessRequirements, LinkAccess
from service.domain.clock import Now
from service.domain.public_report import public_report_json
from service.domain.views import hour_of
from service.repositories.sqlite.engine.batch import Batch, BatchStatement
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.engine.statements import Row
from service.repositories.sqlite.link_rows import LINK_WIDTH, link_of
from service.repositories.sqlite.link_sql import (
    LINK_COLUMNS,
    PUBLIC_REPORT_COLUMNS,
    REQUIRES_NOTHING,
    VALID_UNTIL,
    status_sql,
)
from service.repositories.sqlite.revocations import not_revoked
from service.repositories.unlocks import PendingUnlock, SharedUnlocks

# An AccessRequirements; a batch finds its results by the first column.
_REQUIREMENTS = """shared_reports.share_hash, shared_reports.id,
           shared_reports.max_views IS NOT NULL, shared_reports.password,
           shared_reports.access_revision"""

_ACCESS = f"""{status_sql("shared_reports", ":now")},
           (shared_reports.not_before > :now) IS NOT TRUE, {_REQUIREMENTS}, {LINK_COLUMNS}"""

# The row of a limited or protected link is never cached: its unlocks change it.
_CHECK = f"""-- check a link
    SELECT CASE WHEN {REQUIRES_NOTHING} THEN {VALID_UNTIL} ELSE '' END, {_ACCESS}
      FROM shared_reports JOIN videos ON videos.id = shared_reports.video_id
     WHERE shared_reports.share_hash = :key AND {not_revoked()}"""

_VIEW = f"""-- view an unlocked link
    SELECT {_ACCESS}, {PUBLIC_REPORT_COLUMNS}
      FROM shared_reports JOIN videos ON videos.id = shared_reports.video_id
     WHERE shared_reports.share_hash = :share_hash AND {not_revoked()}"""

# Of the unlocks of one link, as many are granted as it has views left. They are counted in the
# row, and the row is on disk, before anyone is shown anything.
_UNLOCK = BatchStatement(
    "unlock links",
    "unlock",
    ("share_hash", "password", "count", "is_page", "hour", "now"),
    f"""UPDATE shared_reports
       SET granted = min(unlock.count, coalesce(max_views - view_count, 1 << 62)),
           view_count = min(view_count + unlock.count, coalesce(max_views, 1 << 62)),
           page_view_count = page_view_count
               + unlock.is_page * min(unlock.count, coalesce(max_views - view_count, 1 << 62)),
           first_viewed_at = CASE WHEN view_count = 0 THEN unlock.now ELSE first_viewed_at END,
           last_viewed_at = unlock.now,
           counted_hour = unlock.hour
      FROM unlock
     WHERE shared_reports.share_hash = unlock.share_hash
       AND shared_reports.password IS unlock.password
       AND {status_sql("shared_reports", "unlock.now")} = 'active' AND {not_revoked()}
    RETURNING {_REQUIREMENTS}, granted""",
)

_GET_KEY = """-- get the signing key
    SELECT key FROM signing_key"""

_MAKE_KEY = """-- make the signing key
    INSERT INTO signing_key (id, key) VALUES (1, :key)"""


_LINK_AT = 2 + len(AccessRequirements.__struct_fields__)
_ACCESS_WIDTH = _LINK_AT + LINK_WIDTH  # columns of _ACCESS


def _link_access(row: Row, report: bytes = b"") -> LinkAccess:
    status, has_begun, *requirements = row[:_LINK_AT]
    link = link_of(row[_LINK_AT:])
    return LinkAccess(status, bool(has_begun), AccessRequirements(*requirements), link, report)


def _checked_link(row: Row) -> Row:
    """Return a row of _CHECK as it is cached: its last value is the only large one."""
    valid_until, *columns = row
    access = _link_access(tuple(columns))
    return valid_until, access, access.link.modules


class SqliteAccess(SharedUnlocks):
    """Look-ups and writes of access to protected links: see ``base_access.AccessRepository``."""

    def __init__(self, database: Database, now: Now) -> None:
        self._reader, self._writer = database.reader, database.writer
        self._now = now
        self._signing_key: bytes | None = None
        database.on_replaced.append(self._forget_signing_key)
        super().__init__(partial(self._writer.submit, Batch(_UNLOCK, self._rows)))

    async def make_signing_key(self) -> None:
        """Make the key that access tokens are signed with, if the database has none."""
        if not self._reader.fetch_all(_GET_KEY):
            await self._writer.fetch_all(_MAKE_KEY, key=secrets.token_bytes(32))

    def signing_key(self) -> bytes:
        """Return the key of the database that is open now: a restored one may have another."""
        if self._signing_key is None:
            [[key]] = self._reader.fetch_all(_GET_KEY)
            self._signing_key = bytes(key)
        return self._signing_key

    def _forget_signing_key(self) -> None:
        self._signing_key = None

    async def find(self, share_hash: str, now: str) -> LinkAccess | None:
        """Return what decides who may see a link, without its report."""
        row = self._reader.get_cached(_CHECK, share_hash, now, _checked_link)
        return None if row is None else cast("LinkAccess", row[1])

    async def find_with_report(self, share_hash: str, now: str) -> LinkAccess | None:
        """Return what decides who may see a link, with its report."""
        rows = self._reader.fetch_all(_VIEW, share_hash=share_hash, now=now)
        if not rows:
            return None
        [row] = rows
        return _link_access(row[:_ACCESS_WIDTH], public_report_json(*row[_ACCESS_WIDTH:]))

    def _rows(self, unlocks: Sequence[PendingUnlock]) -> list[tuple[object, ...]]:
        now = self._now()
        hour = hour_of(now)
        self.stop_joining(unlocks)
        return [
            (
                pending.requirements.share_hash,
                pending.requirements.password,
                pending.count,
                int(pending.is_page),
                hour,
                now,
            )
            for pending in unlocks
        ]
