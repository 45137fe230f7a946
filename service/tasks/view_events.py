"""Events of views: a link's views of a minute are told together, once the minute is over."""

from service.repositories.base_events import EventRepository
from service.tasks.sweeper import run_adaptive_batches

_PASS_LINKS = 10_000


async def tell_views(events: EventRepository) -> None:
    """Write the events of views whose minute is over, in small batches.

    The views are in the table, and so is their minute: a crash loses none.
    """
    await run_adaptive_batches(events.tell_views, _PASS_LINKS)
