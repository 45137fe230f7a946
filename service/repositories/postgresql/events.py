"""Events: the tables ``events``, ``event_subscriptions`` and ``event_views``.

Triggers of the schema write the events.
"""

from service.domain.events import EventPage, EventRange
from service.repositories.event_pages import (
    EVENT_COLUMNS,
    LINK_COLUMNS,
    VIDEO_COLUMNS,
    EventQuery,
    fetch_events,
)
from service.repositories.postgresql.engine.database import Database
from service.repositories.postgresql.engine.statements import NOW, NOW_SECOND, read, write
from service.repositories.postgresql.link_sql import report_columns

_IS_ENABLED = read("""-- look for a user's events
    SELECT is_enabled FROM event_subscriptions WHERE user_id = :user_id""")

_SET_ENABLED = write(
    """-- switch a user's events on or off
    INSERT INTO event_subscriptions (user_id, is_enabled) VALUES (:user_id, :is_enabled)
        ON CONFLICT (user_id) DO UPDATE SET is_enabled = excluded.is_enabled""",
    repeats=True,
)

# The conditions compare pairs because only the index of users has their order: see list_pages.
_POSITION = "(events.user_id, events.id)"
_AFTER = f"{_POSITION} > (:user_id, :after::bigint)"

_EVENTS = f"""SELECT {EVENT_COLUMNS}, {report_columns("link", "link.event_at")},
           {VIDEO_COLUMNS}
      FROM (SELECT {LINK_COLUMNS}, nullif(has_password, false) AS password FROM events"""

_QUERY = EventQuery(
    read(f"""-- list events
    {_EVENTS}
             WHERE {_AFTER} AND {_POSITION} <= (:user_id, :until::bigint)
               AND (:type::text IS NULL OR type = :type)
             ORDER BY events.user_id, events.id LIMIT :rows) AS link
     ORDER BY link.event_id"""),
    read(f"""-- look ahead in events
    SELECT count(*), max(id) FROM (
           SELECT id FROM events WHERE {_AFTER} AND {_POSITION} <= (:user_id, {2**63 - 1})
            ORDER BY events.user_id, events.id LIMIT :rows) AS next"""),
)

_IS_DUE = read(f"""-- look for views to tell of
    SELECT 1 FROM event_views WHERE tell_after <= {NOW} LIMIT 1""")

_TELL_VIEWS = write(
    f"""-- tell of later views
    SELECT tell_later_views({NOW}, :limit::bigint)""",
    repeats=True,
)

_PURGE = write(
    f"""-- purge events
    DELETE FROM events WHERE id IN (
           SELECT id FROM events
            WHERE created_at < {NOW_SECOND} - make_interval(days => :days::integer)
            ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED)""",
    repeats=True,
)

_LAST_ID = read("""-- find the last event
    SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('events', 'id')::regclass), 0)""")


class PostgresqlEvents:
    """The table of events: see ``base_events.EventRepository``."""

    def __init__(self, database: Database) -> None:
        self._lookups, self._writer, self._long = database.lookups, database.writer, database.long
        self._now = database.now

    async def is_enabled(self, user_id: str) -> bool:
        """Return whether the user has asked for events."""
        rows = await self._lookups.fetch_all(_IS_ENABLED, user_id=user_id)
        return bool(rows and rows[0][0])

    async def set_enabled(self, user_id: str, *, is_enabled: bool) -> None:
        """Ask for events, or no longer: see ``base_events.EventRepository``."""
        await self._writer.execute(_SET_ENABLED, user_id=user_id, is_enabled=is_enabled)

    async def list_after(self, user_id: str, wanted: EventRange) -> EventPage:
        """Return events of a user: see ``base_events.EventRepository``."""
        return await fetch_events(self._long.fetch_all, _QUERY, user_id, wanted)

    async def tell_views(self, limit: int) -> int:
        """Write the events of views whose minute is over: see ``base_events.EventRepository``."""
        if not await self._lookups.fetch_all(_IS_DUE, now=self._now):
            return 0
        [[count]] = await self._long.fetch_all(_TELL_VIEWS, now=self._now, limit=limit)
        return int(count)

    async def purge(self, days: int, limit: int) -> int:
        """Delete up to ``limit`` events that are older than ``days``. Return how many."""
        return await self._long.execute(_PURGE, now=self._now, days=days, limit=limit)

    async def last_id(self) -> int:
        """Return the largest id that was ever given to an event; 0 for none."""
        return int((await self._lookups.fetch_all(_LAST_ID))[0][0])
