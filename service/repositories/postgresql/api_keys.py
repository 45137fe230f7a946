"""API keys: the table ``api_keys``."""

from collections.abc import Sequence
from typing import Any

import msgspec

from service.domain.api_keys import KEYS_MAX, ApiKey, CreatedApiKey
from service.domain.errors import ConflictError, NotFoundError, UnauthorizedError
from service.domain.types import Owner, row_id
from service.repositories.postgresql.engine.database import Database
from service.repositories.postgresql.engine.errors import AnswerLostError
from service.repositories.postgresql.engine.statements import (
    NOW_SECOND,
    Batch,
    Connection,
    Row,
    read,
    write,
)
from service.security import credentials

_COLUMNS = "id, name, key_prefix, is_active::integer, last_used_at, created_at"

# Two instances may create the user's last key at the same time.
_LOCK_USER = write("""-- lock the keys of a user
    SELECT pg_advisory_xact_lock(hashtextextended(:user_id, 0))""")

_CREATE = write(f"""-- create a key
    INSERT INTO api_keys (user_id, name, key_prefix, digest, created_at)
    SELECT :user_id::text, :name, :key_prefix, :digest, {NOW_SECOND}
     WHERE (SELECT count(*) FROM api_keys WHERE user_id = :user_id) < :limit
    RETURNING {_COLUMNS}""")

_LIST = read(f"""-- list a user's keys
    SELECT {_COLUMNS} FROM api_keys WHERE user_id = :user_id ORDER BY id DESC""")

_LIST_OF_EVERYONE = read(f"""-- list all keys
    SELECT user_id, {_COLUMNS} FROM api_keys ORDER BY id""")

_SET_ACTIVE = write(
    f"""-- switch a key
      WITH key AS (
           UPDATE api_keys SET is_active = :is_active WHERE id = :id AND user_id = :user_id
           RETURNING {_COLUMNS}),
           ended AS (
           DELETE FROM console_sessions USING key
            WHERE console_sessions.key_id = key.id AND NOT :is_active::boolean)
    SELECT * FROM key""",
    repeats=True,
)

_DELETE = write("""-- delete a key
    DELETE FROM api_keys WHERE id = :id AND user_id = :user_id RETURNING id""")

_REVOKE = write(
    f"""-- revoke a key
      WITH key AS (UPDATE api_keys SET is_active = false WHERE id = :id RETURNING {_COLUMNS}),
           ended AS (
           DELETE FROM console_sessions USING key WHERE console_sessions.key_id = key.id)
    SELECT * FROM key""",
    repeats=True,
)

_FIND = read(f"""-- find keys
    SELECT digest, user_id, id, {NOW_SECOND} FROM api_keys
     WHERE digest = ANY(:digests::text[]) AND is_active""")

# Locked in the order of their ids: another instance may write the use of the same keys.
_RECORD_USE = write(
    """-- record the use of keys
      WITH used AS (
           SELECT * FROM unnest(:ids::bigint[], :times::timestamptz[]) AS used (id, at)),
           locked AS MATERIALIZED (
           SELECT id FROM api_keys WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE)
    UPDATE api_keys SET last_used_at = greatest(api_keys.last_used_at, used.at)
      FROM used JOIN locked ON locked.id = used.id
     WHERE api_keys.id = used.id""",
    repeats=True,
)


class PostgresqlApiKeys:
    """The table of API keys: see ``base_owner.ApiKeyRepository``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._find: Batch[str] = Batch(_FIND, self._digests, merges=True)
        self._used: dict[int, str] = {}

    def _digests(self, digests: Sequence[str]) -> dict[str, Any]:
        return {"digests": list(digests), "now": self._database.now}

    async def owner_of(self, raw_key: str) -> Owner:
        """Return the owner of a key. Raises UnauthorizedError if the key is unknown or inactive."""
        digest = credentials.hash_key(raw_key)
        row = await self._database.lookups.submit(self._find, digest, digest)
        if row is None:
            raise UnauthorizedError("This API key does not exist or is not active.", guessed=True)
        _, user_id, key_id, now = row
        self._used[key_id] = now
        return Owner(user_id, key_id)

    async def record_use(self) -> None:
        """Write when the keys were last used: one statement for all used since the last call."""
        if not self._used:
            return
        used, self._used = self._used, {}
        try:
            await self._database.writer.execute(
                _RECORD_USE, ids=list(used), times=list(used.values())
            )
        except BaseException:
            self._used = used | self._used
            raise

    async def create(self, user_id: str, name: str) -> CreatedApiKey:
        """Create a key for a user. The answer is the only place where the key is whole.

        Raises ConflictError if the user has KEYS_MAX keys.
        """
        raw_key = credentials.new_key()
        parameters = {
            "user_id": user_id,
            "name": name,
            "key_prefix": credentials.visible_prefix(raw_key),
            "digest": credentials.hash_key(raw_key),
            "limit": KEYS_MAX,
            "now": self._database.now,
        }

        async def insert(connection: Connection) -> list[Row]:
            async with connection.transaction():
                await connection.execute(_LOCK_USER.text, *_LOCK_USER.bind(parameters))
                rows: list[Row] = await connection.fetch(_CREATE.text, *_CREATE.bind(parameters))
                return rows

        rows = await self._database.writer.run(_CREATE.name, insert, repeats=False)
        if not rows:
            raise ConflictError(f"You have {KEYS_MAX} API keys, the most there may be. Delete one.")
        return CreatedApiKey(raw_key=raw_key, **msgspec.structs.asdict(_api_key(rows[0])))

    async def list_all(self, user_id: str) -> list[ApiKey]:
        """Return a user's keys, newest first."""
        rows = await self._database.long.fetch_all(_LIST, caller=user_id, user_id=user_id)
        return [_api_key(row) for row in rows]

    async def set_active(self, user_id: str, key_id: str, *, is_active: bool) -> ApiKey:
        """Switch a user's key on or off. Raises NotFoundError."""
        rows = await self._database.writer.fetch_all(
            _SET_ACTIVE, user_id=user_id, id=row_id(key_id), is_active=is_active
        )
        return _api_key(_only(rows))

    async def delete(self, user_id: str, key_id: str) -> None:
        """Delete a user's key. Raises NotFoundError."""
        key = {"user_id": user_id, "id": row_id(key_id)}
        try:
            rows = await self._database.writer.fetch_all(_DELETE, **key)
        except AnswerLostError:  # if nothing is found now, the key was deleted then
            await self._database.writer.fetch_all(_DELETE, **key)
            await self._database.confirm()
            return
        _only(rows)

    async def list_of_everyone(self) -> list[tuple[str, ApiKey]]:
        """Return every key with its user, oldest first (for the operator)."""
        return [
            (row[0], _api_key(row[1:]))
            for row in await self._database.long.fetch_all(_LIST_OF_EVERYONE)
        ]

    async def revoke(self, key_id: str) -> ApiKey:
        """Deactivate anyone's key (for the operator). Raises NotFoundError."""
        return _api_key(_only(await self._database.writer.fetch_all(_REVOKE, id=row_id(key_id))))


def _only(rows: list[Row]) -> Row:
    if not rows:
        raise NotFoundError("No such API key.")
    return rows[0]


def _api_key(row: Sequence[Any]) -> ApiKey:
    return ApiKey(str(row[0]), *row[1:])
