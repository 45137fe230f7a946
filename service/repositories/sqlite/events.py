"""Events: the tables ``events``, ``event_subscriptions`` and ``event_views``.

Triggers of the schema write the events.
"""

from service.domain.clock import Now
from service.domain.events import EventPage, EventRange
from service.repositories.event_pages import (
    EVENT_COLUMNS,
    LINK_COLUMNS,
    VIDEO_COLUMNS,
    EventQuery,
    fetch_events,
)
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.link_sql import report_columns

_IS_ENABLED = """-- look for a user's events
    SELECT is_enabled FROM event_subscriptions WHERE user_id = :user_id"""

_SET_ENABLED = """-- switch a user's events on or off
    INSERT INTO event_subscriptions (user_id, is_enabled) VALUES (:user_id, :is_enabled)
        ON CONFLICT (user_id) DO UPDATE SET is_enabled = excluded.is_enabled"""

_EVENTS = f"""SELECT {EVENT_COLUMNS}, {report_columns("link", "link.event_at")},
           {VIDEO_COLUMNS}
      FROM (SELECT {LINK_COLUMNS}, nullif(has_password, 0) AS password FROM events"""

_QUERY = EventQuery(
    f"""-- list events
    {_EVENTS}
             WHERE user_id = :user_id AND events.id > :after AND events.id <= :until
               AND (:type IS NULL OR type = :type)
             ORDER BY events.id LIMIT :rows) AS link
     ORDER BY link.event_id""",
    """-- look ahead in events
    SELECT count(*), max(id) FROM (
           SELECT id FROM events WHERE user_id = :user_id AND id > :after
            ORDER BY id LIMIT :rows)""",
)

_IS_DUE = """-- look for views to tell of
    SELECT 1 FROM event_views WHERE tell_after <= :now LIMIT 1"""

# The trigger `event_views_told` does it.
_TELL_VIEWS = """-- tell of later views
    UPDATE event_views SET tell_after = strftime('%Y-%m-%dT%H:%M:%S', :now, '+60 seconds')
     WHERE link_id IN (SELECT link_id FROM event_views
                        WHERE tell_after <= :now ORDER BY tell_after LIMIT :limit)"""

_PURGE = """-- purge events
    DELETE FROM events WHERE id IN (
           SELECT id FROM events
            WHERE created_at < strftime('%Y-%m-%dT%H:%M:%S', :now, '-' || :days || ' day')
            ORDER BY created_at LIMIT :limit)"""

_LAST_ID = """-- find the last event
    SELECT seq FROM sqlite_sequence WHERE name = 'events'"""


class SqliteEvents:
    """The table of events: see ``base_events.EventRepository``."""

    def __init__(self, database: Database, now: Now) -> None:
        self._reader, self._read_worker = database.reader, database.read_worker
        self._writer = database.writer
        self._now = now

    async def is_enabled(self, user_id: str) -> bool:
        """Return whether the user has asked for events."""
        rows = self._reader.fetch_all(_IS_ENABLED, user_id=user_id)
        return bool(rows and rows[0][0])

    async def set_enabled(self, user_id: str, *, is_enabled: bool) -> None:
        """Ask for events, or no longer: see ``base_events.EventRepository``."""
        await self._writer.execute(_SET_ENABLED, user_id=user_id, is_enabled=int(is_enabled))

    async def list_after(self, user_id: str, wanted: EventRange) -> EventPage:
        """Return events of a user: see ``base_events.EventRepository``."""
        return await fetch_events(self._read_worker.fetch_all, _QUERY, user_id, wanted)

    async def tell_views(self, limit: int) -> int:
        """Write the events of views whose minute is over: see ``base_events.EventRepository``."""
        if not self._reader.fetch_all(_IS_DUE, now=self._now()):
            return 0
        return await self._writer.execute(_TELL_VIEWS, now=self._now, limit=limit)

    async def purge(self, days: int, limit: int) -> int:
        """Delete up to ``limit`` events that are older than ``days``. Return how many."""
        return await self._writer.execute(_PURGE, now=self._now, days=days, limit=limit)

    async def last_id(self) -> int:
        """Return the largest id that was ever given to an event; 0 for none."""
        rows = self._reader.fetch_all(_LAST_ID)
        return int(rows[0][0]) if rows else 0
