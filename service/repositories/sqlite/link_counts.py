"""The statements that count links by status in SQLite."""

import time
from collections.abc import Callable

from service.domain.clock import Now
from service.repositories.link_counts import STATES, SteppedLinkCounter
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.link_sql import status_sql
from service.repositories.sqlite.revocations import not_revoked

_STATUS = status_sql("shared_reports", ":now")

_COUNT = f"""-- count links by status
    SELECT {", ".join(f"count(*) FILTER (WHERE status = '{state}')" for state in STATES)},
           count(*), max(id)
      FROM (SELECT id, CASE WHEN {not_revoked()} THEN {_STATUS} END AS status
              FROM shared_reports WHERE id > :after ORDER BY id LIMIT :limit)"""

_OVERDUE = """-- find the earliest expiry to be deactivated
    SELECT min(expires_at) FROM shared_reports WHERE is_active = 1 AND expires_at <= :now"""


class LinkCounter(SteppedLinkCounter):
    """Counts links on the read worker: see ``base.LinkCountRepository``."""

    def __init__(
        self, database: Database, now: Now, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        worker = database.read_worker
        super().__init__(
            lambda after, limit: worker.fetch_all(_COUNT, after=after, limit=limit, now=now),
            lambda: worker.fetch_all(_OVERDUE, now=now),
            monotonic,
        )
