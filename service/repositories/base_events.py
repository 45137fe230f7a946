"""The interface of the storage of events: see ``repositories.base``.

No method writes an event: triggers of the database write it in the transaction that it tells of.
"""

from typing import Protocol

from service.domain.events import EventPage, EventRange


class EventRepository(Protocol):
    """The table of events, and who has asked for them."""

    async def is_enabled(self, user_id: str) -> bool:
        """Return whether the user has asked for events by ``set_enabled``."""

    async def set_enabled(self, user_id: str, *, is_enabled: bool) -> None:
        """Ask for events, or no longer: what is done after this returned is told, or is not.

        A user's webhooks ask for events as well. The events that are stored stay.
        """

    async def list_after(self, user_id: str, wanted: EventRange) -> EventPage:
        """Return the user's events of a range, oldest first.

        No event gets an id below ``next`` later: to go on from there leaves none out. With a type,
        a bounded number of events is looked at, so there may be more though the page is empty.
        """

    async def tell_views(self, limit: int) -> int:
        """Write the events of views of up to ``limit`` links whose minute is over.

        Return how many links; 0 if none is left.
        """

    async def purge(self, days: int, limit: int) -> int:
        """Delete up to ``limit`` events that are older than ``days``. Return how many."""

    async def last_id(self) -> int:
        """Return the largest id that was ever given to an event, of any user; 0 for none."""
