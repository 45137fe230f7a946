"""API keys: the table ``api_keys``."""

import msgspec

from service.domain.api_keys import KEYS_MAX, ApiKey, CreatedApiKey
from service.domain.clock import Now
from service.domain.errors import ConflictError, NotFoundError, UnauthorizedError
from service.domain.types import Owner, row_id
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.engine.statements import Row
from service.security import credentials

_COLUMNS = "id, name, key_prefix, is_active, last_used_at, created_at"

_CREATE = f"""-- create a key
    INSERT INTO api_keys (user_id, name, key_prefix, digest, created_at)
    SELECT :user_id, :name, :key_prefix, :digest, :now
     WHERE (SELECT count(*) FROM api_keys WHERE user_id = :user_id) < :limit
    RETURNING {_COLUMNS}"""

_LIST = f"""-- list a user's keys
    SELECT {_COLUMNS} FROM api_keys WHERE user_id = :user_id ORDER BY id DESC"""

_LIST_OF_EVERYONE = f"""-- list all keys
    SELECT user_id, {_COLUMNS} FROM api_keys ORDER BY id"""

_SET_ACTIVE = f"""-- switch a key
    UPDATE api_keys SET is_active = :is_active WHERE id = :id AND user_id = :user_id
    RETURNING {_COLUMNS}"""

_DELETE = """-- delete a key
    DELETE FROM api_keys WHERE id = :id AND user_id = :user_id RETURNING id"""

_REVOKE = f"""-- revoke a key
    UPDATE api_keys SET is_active = 0 WHERE id = :id RETURNING {_COLUMNS}"""

_FIND = """-- find a key
    SELECT NULL, user_id, id FROM api_keys WHERE digest = :key AND is_active = 1"""

_RECORD_USE = """-- record the use of keys
    UPDATE api_keys SET last_used_at = used.value
      FROM json_each(:used) AS used
     WHERE api_keys.id = used.key"""


class SqliteApiKeys:
    """The table of API keys: see ``base_owner.ApiKeyRepository``."""

    def __init__(self, database: Database, now: Now) -> None:
        self._reader, self._read_worker = database.reader, database.read_worker
        self._writer = database.writer
        self._now = now
        self._used: dict[int, str] = {}
        self._recording: dict[int, str] = {}
        database.on_replaced.append(self._drop_use)

    async def owner_of(self, raw_key: str) -> Owner:
        """Return the owner of a key. Raises UnauthorizedError if the key is unknown or inactive."""
        now = self._now()
        row = self._reader.get_cached(_FIND, credentials.hash_key(raw_key), now)
        if row is None:
            raise UnauthorizedError("This API key does not exist or is not active.", guessed=True)
        _, user_id, key_id = row
        self._used[key_id] = now
        return Owner(user_id, key_id)

    async def record_use(self) -> None:
        """Write when the keys were last used: one statement for all used since the last call."""
        if not self._used:
            return
        used, self._used = self._used, {}
        self._recording = used
        try:
            await self._writer.fetch_all(
                _RECORD_USE, used=lambda: msgspec.json.encode(used).decode()
            )
        except BaseException:
            self._used = used | self._used
            raise

    def _drop_use(self) -> None:
        self._used.clear()
        self._recording.clear()

    async def create(self, user_id: str, name: str) -> CreatedApiKey:
        """Create a key for a user. The answer is the only place where the key is whole.

        Raises ConflictError if the user has KEYS_MAX keys.
        """
        raw_key = credentials.new_key()
        rows = await self._writer.fetch_all(
            _CREATE,
            user_id=user_id,
            name=name,
            key_prefix=credentials.visible_prefix(raw_key),
            digest=credentials.hash_key(raw_key),
            now=self._now,
            limit=KEYS_MAX,
        )
        if not rows:
            raise ConflictError(f"You have {KEYS_MAX} API keys, the most there may be. Delete one.")
        return CreatedApiKey(raw_key=raw_key, **msgspec.structs.asdict(_api_key(rows[0])))

    async def list_all(self, user_id: str) -> list[ApiKey]:
        """Return a user's keys, newest first."""
        rows = await self._read_worker.fetch_all(_LIST, caller=user_id, user_id=user_id)
        return [_api_key(row) for row in rows]

    async def set_active(self, user_id: str, key_id: str, *, is_active: bool) -> ApiKey:
        """Switch a user's key on or off. Raises NotFoundError."""
        rows = await self._writer.fetch_all(
            _SET_ACTIVE, user_id=user_id, id=row_id(key_id), is_active=is_active
        )
        return _api_key(_only(rows))

    async def delete(self, user_id: str, key_id: str) -> None:
        """Delete a user's key. Raises NotFoundError."""
        _only(await self._writer.fetch_all(_DELETE, user_id=user_id, id=row_id(key_id)))

    async def list_of_everyone(self) -> list[tuple[str, ApiKey]]:
        """Return every key with its user, oldest first (for the operator)."""
        return [
            (row[0], _api_key(row[1:]))
            for row in await self._read_worker.fetch_all(_LIST_OF_EVERYONE)
        ]

    async def revoke(self, key_id: str) -> ApiKey:
        """Deactivate anyone's key (for the operator). Raises NotFoundError."""
        return _api_key(_only(await self._writer.fetch_all(_REVOKE, id=row_id(key_id))))


def _only(rows: list[Row]) -> Row:
    if not rows:
        raise NotFoundError("No such API key.")
    return rows[0]


def _api_key(row: Row) -> ApiKey:
    return ApiKey(str(row[0]), *row[1:])
