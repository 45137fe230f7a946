"""Sessions of the console: the table ``console_sessions``."""

from service.domain.errors import UnauthorizedError
from service.domain.types import Owner
from service.repositories.base_console import SESSION_SECONDS, SESSIONS_MAX
from service.repositories.postgresql.engine.database import Database
from service.repositories.postgresql.engine.errors import AnswerLostError
from service.repositories.postgresql.engine.statements import NOW, NOW_SECOND, read, write
from service.security.credentials import digest_of

# Bounds the table: no task needs to delete sessions that have expired.
_MAKE_ROOM = write(
    f"""-- end the oldest sessions of a key
    DELETE FROM console_sessions
     WHERE key_id = :key_id
       AND (expires_at <= {NOW} OR digest NOT IN (
           SELECT digest FROM console_sessions WHERE key_id = :key_id
            ORDER BY expires_at DESC LIMIT :kept))""",
    repeats=True,
)

_START = write(f"""-- start a session
    INSERT INTO console_sessions (digest, key_id, expires_at)
    SELECT :digest, id, {NOW_SECOND} + make_interval(secs => :seconds) FROM api_keys
     WHERE id = :key_id AND user_id = :user_id AND is_active
    RETURNING key_id""")

_FIND = read(f"""-- find a session
    SELECT api_keys.user_id, api_keys.id
      FROM console_sessions JOIN api_keys ON api_keys.id = console_sessions.key_id
     WHERE console_sessions.digest = :digest AND console_sessions.expires_at > {NOW}
       AND api_keys.is_active""")

_END = write("""-- end a session
    DELETE FROM console_sessions WHERE digest = :digest""")


class PostgresqlSessions:
    """The table of sessions: see ``base_console.SessionRepository``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(self, owner: Owner, token: str) -> None:
        """Store a session of a key. Raises UnauthorizedError if the key does not work any more."""
        now, writer = self._database.now, self._database.writer
        await writer.execute(_MAKE_ROOM, key_id=owner.key_id, now=now, kept=SESSIONS_MAX - 1)
        rows = await writer.fetch_all(
            _START,
            digest=digest_of(token),
            key_id=owner.key_id,
            user_id=owner.user_id,
            seconds=SESSION_SECONDS,
            now=now,
        )
        if not rows:
            raise UnauthorizedError("This API key does not exist or is not active.")

    async def find(self, token: str) -> Owner:
        """Return the owner of a session. Raises UnauthorizedError if it has ended."""
        rows = await self._database.lookups.fetch_all(
            _FIND, digest=digest_of(token), now=self._database.now
        )
        if not rows:
            raise UnauthorizedError("The session has ended.")
        return Owner(*rows[0])

    async def end(self, token: str) -> None:
        """End a session: no later look-up finds it."""
        digest = digest_of(token)
        try:
            await self._database.writer.execute(_END, digest=digest)
        except AnswerLostError:  # the second deletion finds nothing if the first was done
            await self._database.writer.execute(_END, digest=digest)
            await self._database.confirm()
