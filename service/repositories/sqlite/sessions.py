"""Sessions of the console: the table ``console_sessions``."""

from service.domain.clock import Now, to_seconds, to_text
from service.domain.errors import UnauthorizedError
from service.domain.types import Owner
from service.repositories.base_console import SESSION_SECONDS, SESSIONS_MAX
from service.repositories.sqlite.engine.database import Database
from service.security.credentials import digest_of

# Bounds the table: no task needs to delete sessions that have expired.
_MAKE_ROOM = """-- end the oldest sessions of a key
    DELETE FROM console_sessions
     WHERE key_id = :key_id
       AND (expires_at <= :now OR digest NOT IN (
           SELECT digest FROM console_sessions WHERE key_id = :key_id
            ORDER BY expires_at DESC LIMIT :kept))"""

_START = """-- start a session
    INSERT INTO console_sessions (digest, key_id, expires_at)
    SELECT :digest, id, :expires_at FROM api_keys
     WHERE id = :key_id AND user_id = :user_id AND is_active = 1
    RETURNING key_id"""

_FIND = """-- find a session
    SELECT api_keys.user_id, api_keys.id
      FROM console_sessions JOIN api_keys ON api_keys.id = console_sessions.key_id
     WHERE console_sessions.digest = :digest AND console_sessions.expires_at > :now
       AND api_keys.is_active = 1"""

_END = """-- end a session
    DELETE FROM console_sessions WHERE digest = :digest"""


class SqliteSessions:
    """The table of sessions: see ``base_console.SessionRepository``."""

    def __init__(self, database: Database, now: Now) -> None:
        self._reader, self._writer = database.reader, database.writer
        self._now = now

    async def start(self, owner: Owner, token: str) -> None:
        """Store a session of a key. Raises UnauthorizedError if the key does not work any more."""
        now = self._now()
        await self._writer.execute(_MAKE_ROOM, key_id=owner.key_id, now=now, kept=SESSIONS_MAX - 1)
        rows = await self._writer.fetch_all(
            _START,
            digest=digest_of(token),
            key_id=owner.key_id,
            user_id=owner.user_id,
            expires_at=to_text(to_seconds(now) + SESSION_SECONDS),
        )
        if not rows:
            raise UnauthorizedError("This API key does not exist or is not active.")

    async def find(self, token: str) -> Owner:
        """Return the owner of a session. Raises UnauthorizedError if it has ended."""
        rows = self._reader.fetch_all(_FIND, digest=digest_of(token), now=self._now())
        if not rows:
            raise UnauthorizedError("The session has ended.")
        return Owner(*rows[0])

    async def end(self, token: str) -> None:
        """End a session: no later look-up finds it."""
        await self._writer.execute(_END, digest=digest_of(token))
