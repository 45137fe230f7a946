"""Links that ask for something before they show their report: what, and who has done it.

A link asks for a password, or, where its views are limited, that it be opened: each opening is one
of them. Whoever has opened it brings a token from then on.
"""

import asyncio
import secrets
from collections.abc import Sequence

import msgspec

from service.domain.access import AccessGrant, AccessRequirements
from service.domain.clock import Now
from service.domain.errors import OpenRequiredError, PasswordRequiredError, ServiceError
from service.domain.links import Link
from service.repositories.sqlite.engine.batch import Batch
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.engine.statements import Row
from service.repositories.sqlite.links import PUBLIC_REPORT, STATUS, require_active
from service.security.access_tokens import Tokens

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
_OPEN = f"""-- open links
      WITH crowd (share_hash, password, size, now) AS ({{values}})
    UPDATE shared_reports
       SET opened = min(crowd.size, coalesce(max_views - view_count, 1 << 62)),
           view_count = min(view_count + crowd.size, coalesce(max_views, 1 << 62)),
           last_viewed_at = crowd.now
      FROM crowd
     WHERE shared_reports.share_hash = crowd.share_hash
       AND shared_reports.password IS crowd.password
       AND {STATUS.replace(":now", "crowd.now")} = 'active'
    RETURNING {_GATE}, opened"""

_GET_KEY = """-- get the signing key
    SELECT key FROM signing_key"""

_MAKE_KEY = """-- make the signing key
    INSERT INTO signing_key (id, key) VALUES (1, :key)"""


async def signing_key(database: Database) -> bytes:
    """What tokens are signed with; made where there is none, the same ever after."""
    if not database.reader.fetch_all(_GET_KEY):
        await database.writer.fetch_all(_MAKE_KEY, key=secrets.token_bytes(32))
    [[key]] = database.reader.fetch_all(_GET_KEY)
    return bytes(key)


class _PendingUnlock(msgspec.Struct):
    """Those who stand before a link: they are let in together."""

    gate: AccessRequirements
    size: int = 0


class AccessService:
    """The public's verbs on links that may ask for something."""

    def __init__(self, database: Database, now: Now, tokens: Tokens) -> None:
        self._reader, self._writer = database.reader, database.writer
        self._now = now
        self._tokens = tokens
        self._open: Batch[_PendingUnlock] = Batch(_OPEN, self._rows)
        self._crowds: dict[
            AccessRequirements, tuple[_PendingUnlock, asyncio.Future[Row | None]]
        ] = {}
        """Those that may still be joined."""

    def check(self, share_hash: str, token: str | None) -> Link:
        """The link, which may be shown to who brings the token.

        True as long as nothing is awaited: an answer has to begin before. Raises NotFoundError,
        ExpiredError or ExhaustedError where it is dead; PasswordRequiredError or
        OpenRequiredError where it is not but asks for what the token does not bear out.
        """
        rows = self._reader.fetch_all(_CHECK, share_hash=share_hash, now=self._now())
        row = self._admitted(rows, token)
        gate = _gate(row)
        return Link(gate.id, row[-1], gate.is_open)

    def view(self, share_hash: str, token: str | None) -> bytes:
        """What the link shows, a PublicReport as JSON, if it may: see check."""
        rows = self._reader.fetch_all(_VIEW, share_hash=share_hash, now=self._now())
        report: bytes = self._admitted(rows, token)[-1]
        return report

    def gate(self, share_hash: str) -> AccessRequirements:
        """What the link, which is active, asks for.

        Raises NotFoundError, ExpiredError or ExhaustedError where it is dead.
        """
        rows = self._reader.fetch_all(_CHECK, share_hash=share_hash, now=self._now())
        return _gate(require_active(rows))

    async def open(self, gate: AccessRequirements) -> AccessGrant:
        """Open a link whose password, if it has one, was given: one view of it, on disk by now.

        A link that asks for nothing is open already: that is no view. Raises what check does where
        the link has died meanwhile, or asks for something else.
        """
        if gate.is_open:
            return self._tokens.make(gate, self._now())
        if gate not in self._crowds:
            crowd = _PendingUnlock(gate)
            opening = self._writer.submit(self._open, gate.share_hash, crowd)
            self._crowds[gate] = crowd, opening
            opening.add_done_callback(lambda _: self._close(crowd))
        crowd, opening = self._crowds[gate]
        place, crowd.size = crowd.size, crowd.size + 1
        row = await asyncio.shield(opening)  # it is the others', too
        if row is None or place >= row[-1]:
            raise _required(self.gate(gate.share_hash))
        return self._tokens.make(AccessRequirements(*row[:-1]), self._now())

    def _admitted(self, rows: list[Row], token: str | None) -> Row:
        """The row ``status, expires_at, *gate, …`` of a link that may be shown."""
        if rows and rows[0][0] == "exhausted" and self._opens(token, _gate(rows[0])):
            return rows[0]  # the last view may be looked at again like all others
        row = require_active(rows)
        gate = _gate(row)
        if gate.is_open or self._opens(token, gate):
            return row
        raise _required(gate)

    def _opens(self, token: str | None, gate: AccessRequirements) -> bool:
        return token is not None and self._tokens.opens(token, gate, self._now())

    def _rows(self, crowds: Sequence[_PendingUnlock]) -> list[tuple[object, ...]]:
        now = self._now()
        for crowd in crowds:
            self._close(crowd)
        return [(each.gate.share_hash, each.gate.password, each.size, now) for each in crowds]

    def _close(self, crowd: _PendingUnlock) -> None:
        """Let nobody join a crowd any more: it is being let in, or has been sent away."""
        joinable, _ = self._crowds.get(crowd.gate, (None, None))
        if joinable is crowd:
            del self._crowds[crowd.gate]


def _gate(row: Row) -> AccessRequirements:
    return AccessRequirements(*row[2:6])


def _required(gate: AccessRequirements) -> ServiceError:
    if gate.password is not None:
        return PasswordRequiredError("This link asks for a password.")
    return OpenRequiredError("This link's views are limited: open it first.")
