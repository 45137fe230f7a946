"""Bulk revocation: the table ``revocations``.

One short statement revokes any number of links: it writes the id of the video's newest link. A link
with that id or a smaller one is dead from then on, whatever happens to the process: each statement
that reads or changes links asks ``not_revoked``. The rows are deleted in batches afterwards.
"""

import asyncio

from service.domain.errors import NotFoundError
from service.repositories.sqlite.engine.database import Database

_COUNT_STEP = 20_000  # index entries: 1 ms
_STEP = 100  # rows of `revocations` that one batch looks at


def not_revoked(table: str = "shared_reports") -> str:
    """Return the condition that holds for links of ``table`` that were not revoked in bulk."""
    return f"""NOT EXISTS (SELECT 1 FROM revocations
            WHERE revocations.video_id = {table}.video_id AND revocations.last_id >= {table}.id)"""


_REVOKE = """-- revoke a video's links
    INSERT INTO revocations (video_id, last_id)
    SELECT id, (SELECT max(id) FROM shared_reports WHERE video_id = videos.id) FROM videos
     WHERE user_id = :user_id AND job_id = :job_id
       AND EXISTS (SELECT 1 FROM shared_reports WHERE video_id = videos.id)
        ON CONFLICT (video_id) DO UPDATE
       SET previous_id = last_id, last_id = max(last_id, excluded.last_id)
    RETURNING video_id, previous_id, last_id"""

_HAS_VIDEO = """-- look for a video
    SELECT 1 FROM videos WHERE user_id = :user_id AND job_id = :job_id"""

_COUNT = """-- count revoked links
    SELECT count(*), max(id) FROM (
           SELECT id FROM shared_reports
            WHERE video_id = :video_id AND id > :after AND id <= :last_id
            ORDER BY id LIMIT :limit)"""

_HAS_REVOCATIONS = """-- look for revocations
    SELECT 1 FROM revocations LIMIT 1"""

_NEXT_REVOCATIONS = (
    "(SELECT video_id, last_id FROM revocations ORDER BY video_id LIMIT :revocations)"
)

_DELETE_LINKS = f"""-- delete revoked links
    DELETE FROM shared_reports WHERE id IN (
           SELECT link.id FROM {_NEXT_REVOCATIONS} AS revocation CROSS JOIN shared_reports AS link
               ON link.video_id = revocation.video_id AND link.id <= revocation.last_id
            LIMIT :limit)"""

_DELETE_KEYS = f"""-- delete idempotency keys of deleted videos
    DELETE FROM idempotency_keys WHERE (user_id, key) IN (
           SELECT known.user_id, known.key FROM {_NEXT_REVOCATIONS} AS revocation
             CROSS JOIN videos ON videos.id = revocation.video_id AND videos.user_id = 'deleted'
             CROSS JOIN idempotency_keys AS known ON known.video_id = revocation.video_id
            LIMIT :limit)"""

_DELETE_REVOCATIONS = f"""-- delete finished revocations
    DELETE FROM revocations WHERE video_id IN (
           SELECT video_id FROM {_NEXT_REVOCATIONS} AS revocation
            WHERE NOT EXISTS (SELECT 1 FROM shared_reports AS link
                               WHERE link.video_id = revocation.video_id
                                  AND link.id <= revocation.last_id)
              AND NOT EXISTS (SELECT 1 FROM idempotency_keys AS known
                                CROSS JOIN videos ON videos.id = revocation.video_id
                               WHERE known.video_id = revocation.video_id
                                 AND videos.user_id = 'deleted'))"""


class Revocations:
    """Revokes all links of a video, and deletes the rows of revoked links."""

    def __init__(self, database: Database) -> None:
        self._reader, self._read_worker = database.reader, database.read_worker
        self._writer = database.writer
        self._lock = asyncio.Lock()
        """Held while revoked links are counted, so that none is deleted meanwhile."""

    async def revoke(self, user_id: str, job_id: str) -> int:
        """Revoke all links of a user's video. Return how many. Raises NotFoundError."""
        async with self._lock:
            revocations = await self._writer.fetch_all(_REVOKE, user_id=user_id, job_id=job_id)
            if revocations:
                return await self._count(*revocations[0])
        if not self._reader.fetch_all(_HAS_VIDEO, user_id=user_id, job_id=job_id):
            raise NotFoundError("No such video.")
        return 0

    async def _count(self, video_id: int, after: int, last_id: int) -> int:
        """Count the links of a video with ids from above ``after`` to ``last_id``."""
        total, count = 0, _COUNT_STEP
        while count == _COUNT_STEP:
            [(count, newest)] = await self._read_worker.fetch_all(
                _COUNT, video_id=video_id, after=after, last_id=last_id, limit=_COUNT_STEP
            )
            total += count
            after = newest
        return total

    async def delete_rows(self, limit: int) -> int:
        """Delete up to ``limit`` rows of revoked links, and of deleted videos' idempotency keys.

        Return how many; 0 if none is left. When all are deleted, deletes the revocations of the
        revocations, too, and with them the rows of the deleted videos.
        """
        if not self._reader.fetch_all(_HAS_REVOCATIONS):
            return 0
        async with self._lock:
            count = await self._writer.execute(_DELETE_LINKS, limit=limit, revocations=_STEP)
        if count == limit:
            return count
        count += await self._writer.execute(_DELETE_KEYS, limit=limit, revocations=_STEP)
        return count + await self._writer.execute(_DELETE_REVOCATIONS, revocations=_STEP)
