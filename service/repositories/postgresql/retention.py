"""Retention: links that have been dead for long go from the table ``shared_reports``."""

from service.repositories.postgresql.engine.database import Database
from service.repositories.postgresql.engine.statements import NOW_SECOND, read, write
from service.repositories.postgresql.revocations import not_revoked

_SINCE = f"{NOW_SECOND} - make_interval(days => :days::integer)"

_IS_DEAD = f"inactive_since < {_SINCE}"
# Those that the background task has still to deactivate: it may not have run for long.
_IS_OVERDUE = f"is_active AND expires_at < {_SINCE}"


def _oldest(condition: str, order: str) -> str:
    return f"""(SELECT id, video_id FROM shared_reports WHERE {condition}
                     ORDER BY {order} LIMIT :limit::bigint FOR UPDATE SKIP LOCKED)"""


# Each condition has an index of its own, of which a batch reads the beginning only. A revoked link
# belongs to its revocation, which counts it. The inner LIMITs bound the rows read. The triggers of
# events must not take the deletion for a revocation.
_PURGE = write(
    f"""-- purge dead links
      WITH cause AS MATERIALIZED (SELECT set_config('shared_reports.cause', 'purge', true))
    DELETE FROM shared_reports USING cause WHERE id IN (
           SELECT id FROM (SELECT * FROM {_oldest(_IS_DEAD, "inactive_since")} AS dead
                            UNION
                           SELECT * FROM {_oldest(_IS_OVERDUE, "expires_at")} AS overdue) AS old
            WHERE {not_revoked("old")} LIMIT :limit)""",
    repeats=True,
)

_COUNT = read(f"""-- count links to purge
    SELECT count(*) FROM shared_reports WHERE {_IS_DEAD} OR ({_IS_OVERDUE})""")


class PostgresqlRetention:
    """The links that have been dead for more than a number of days.

    A link is dead since it expired, was switched off, or had its last view or a limit below its
    views, whichever was first. Idempotency keys outlive the links that they created.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def purge(self, days: int, limit: int) -> int:
        """Delete up to ``limit`` of them. Return how many; 0 if none is left."""
        return await self._database.long.execute(
            _PURGE, now=self._database.now, days=days, limit=limit
        )

    async def count(self, days: int) -> int:
        """Return how many there are."""
        [[count]] = await self._database.long.fetch_all(_COUNT, now=self._database.now, days=days)
        return int(count)
