"""Bulk revocation: the table ``revocations``.

One short statement revokes any number of links: it writes the id of the video's newest link. A link
with that id or a smaller one is dead from then on, whatever happens to the process: each statement
that reads or changes links asks ``not_revoked``. The rows are deleted in batches afterwards.

A link that is being created meanwhile may get a larger id: then it was created after the
revocation. One whose creation was acknowledged before has a smaller one, because ids are given out
in order.
"""

from service.domain.errors import NotFoundError
from service.repositories.postgresql.engine.database import Database
from service.repositories.postgresql.engine.errors import AnswerLostError
from service.repositories.postgresql.engine.statements import Row, read, storable, write

_STEP = 100  # rows of `revocations` that one batch looks at


def not_revoked(table: str = "shared_reports") -> str:
    """Return the condition that holds for links of ``table`` that were not revoked in bulk."""
    return f"""NOT EXISTS (SELECT 1 FROM revocations
            WHERE revocations.video_id = {table}.video_id AND revocations.last_id >= {table}.id)"""


# The links are counted in the same snapshot, in which no batch has deleted any of them.
_REVOKE = write(
    """-- revoke a video's links
      WITH video AS (
           SELECT id, (SELECT max(id) FROM shared_reports WHERE video_id = videos.id) AS last_id
             FROM videos WHERE user_id = :user_id AND job_id = :job_id),
           revoked AS (
           INSERT INTO revocations AS old (video_id, last_id)
           SELECT id, last_id FROM video WHERE last_id IS NOT NULL
               ON CONFLICT (video_id) DO UPDATE
              SET previous_id = old.last_id, last_id = greatest(old.last_id, excluded.last_id)
           RETURNING video_id, previous_id, last_id)
    SELECT (SELECT count(*) FROM revoked JOIN shared_reports
                ON shared_reports.video_id = revoked.video_id
               AND shared_reports.id > revoked.previous_id
               AND shared_reports.id <= revoked.last_id)
      FROM video"""
)

_HAS_REVOCATIONS = read(
    """-- look for revocations
    SELECT 1 FROM revocations LIMIT 1"""
)

_NEXT_REVOCATIONS = (
    "(SELECT video_id, last_id FROM revocations ORDER BY video_id LIMIT :revocations)"
)

_DELETE_LINKS = write(
    f"""-- delete revoked links
    DELETE FROM shared_reports WHERE id IN (
           SELECT link.id FROM {_NEXT_REVOCATIONS} AS revocation JOIN shared_reports AS link
               ON link.video_id = revocation.video_id AND link.id <= revocation.last_id
            LIMIT :limit FOR UPDATE OF link SKIP LOCKED)""",
    repeats=True,
)

_DELETE_KEYS = write(
    f"""-- delete idempotency keys of deleted videos
    DELETE FROM idempotency_keys WHERE (user_id, key) IN (
           SELECT known.user_id, known.key FROM {_NEXT_REVOCATIONS} AS revocation
             JOIN videos ON videos.id = revocation.video_id AND videos.user_id = 'deleted'
             JOIN idempotency_keys AS known ON known.video_id = revocation.video_id
            LIMIT :limit FOR UPDATE OF known SKIP LOCKED)""",
    repeats=True,
)

# The video of a deleted one goes with its revocation, and with it the links that were being created
# while it was deleted.
_DELETE_REVOCATIONS = write(
    f"""-- delete finished revocations
      WITH finished AS (
           SELECT revocations.video_id FROM revocations
             JOIN {_NEXT_REVOCATIONS} AS revocation
               ON revocation.video_id = revocations.video_id
              AND revocation.last_id = revocations.last_id
            WHERE NOT EXISTS (SELECT 1 FROM shared_reports AS link
                               WHERE link.video_id = revocation.video_id
                                 AND link.id <= revocation.last_id)
              AND NOT EXISTS (SELECT 1 FROM idempotency_keys AS known
                                JOIN videos ON videos.id = known.video_id
                               WHERE known.video_id = revocation.video_id
                                 AND videos.user_id = 'deleted')
              FOR UPDATE OF revocations SKIP LOCKED),
           videos_gone AS (
           DELETE FROM videos USING finished
            WHERE videos.id = finished.video_id AND videos.user_id = 'deleted')
    DELETE FROM revocations USING finished WHERE revocations.video_id = finished.video_id""",
    repeats=True,
)


class Revocations:
    """Revokes all links of a video, and deletes the rows of revoked links."""

    def __init__(self, database: Database) -> None:
        self._lookups, self._long = database.lookups, database.long
        self._confirm = database.confirm

    async def revoke(self, user_id: str, job_id: str) -> int:
        """Revoke all links of a user's video. Return how many. Raises NotFoundError."""
        try:
            rows = await self._revoke(user_id, job_id)
        except AnswerLostError:  # it may have been done; to do it again revokes the same links
            rows = await self._revoke(user_id, job_id)
            await self._confirm()
        if not rows:
            raise NotFoundError("No such video.")
        return int(rows[0][0])

    async def _revoke(self, user_id: str, job_id: str) -> list[Row]:
        return await self._long.fetch_all(_REVOKE, user_id=user_id, job_id=storable(job_id))

    async def delete_rows(self, limit: int) -> int:
        """Delete up to ``limit`` rows of revoked links, and of deleted videos' idempotency keys.

        Return how many; 0 if none is left. When all are deleted, deletes the revocations of the
        revocations, too, and with them the rows of the deleted videos.
        """
        if not await self._lookups.fetch_all(_HAS_REVOCATIONS):
            return 0
        count = await self._long.execute(_DELETE_LINKS, limit=limit, revocations=_STEP)
        if count == limit:
            return count
        count += await self._long.execute(_DELETE_KEYS, limit=limit, revocations=_STEP)
        return count + await self._long.execute(_DELETE_REVOCATIONS, revocations=_STEP)
