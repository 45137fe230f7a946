"""The statements that count links by status in PostgreSQL."""

import time
from collections.abc import Callable

from service.repositories.link_counts import STATES, SteppedLinkCounter
from service.repositories.postgresql.engine.database import Database
from service.repositories.postgresql.engine.statements import NOW, read
from service.repositories.postgresql.link_sql import status_sql
from service.repositories.postgresql.revocations import not_revoked

_COUNT = read(f"""-- count links by status
    SELECT {", ".join(f"count(*) FILTER (WHERE status = '{state}')" for state in STATES)},
           count(*), max(id)
      FROM (SELECT id, CASE WHEN {not_revoked()} THEN {status_sql("shared_reports")} END AS status
              FROM shared_reports WHERE id > :after ORDER BY id LIMIT :limit) AS links""")

_OVERDUE = read(f"""-- find the earliest expiry to be deactivated
    SELECT min(expires_at) FROM shared_reports WHERE is_active AND expires_at <= {NOW}""")


class LinkCounter(SteppedLinkCounter):
    """Counts links on the worker of long reads: see ``base.LinkCountRepository``."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        worker, now = database.long, database.now
        super().__init__(
            lambda after, limit: worker.fetch_all(_COUNT, after=after, limit=limit, now=now),
            lambda: worker.fetch_all(_OVERDUE, now=now),
            monotonic,
        )
