"""How long a batch waits for further calls before it starts."""

import asyncio
import time
from collections.abc import Sized

# How long a batch waits for another call, whichever is shorter. A turn of the event loop takes
# microseconds without load, and milliseconds under load.
_TURNS = 3  # turns: one reads the request, one wakes its handler, one submits the call
_SECONDS = 0.0005


async def wait_for_calls(calls: Sized, items: Sized, limit: int) -> None:
    """Return when turns of the event loop bring no further call, or ``limit`` items are there.

    ``calls`` and ``items`` grow meanwhile. The callers of one batch call again when it is done. If
    the next batch started at once, it would contain half of the callers, and the other half would
    always wait.
    """
    count = turns = 0
    last_arrival = time.perf_counter()
    while turns < _TURNS and len(items) < limit:
        now = time.perf_counter()
        if len(calls) > count:
            count, turns, last_arrival = len(calls), 0, now
        elif now - last_arrival > _SECONDS:
            return
        turns += 1
        await asyncio.sleep(0)
