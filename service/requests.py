"""Every request, counted and logged, at next to no cost to itself.

A request is only noted. A few hundred notes are then worked through at once, with the
processor's caches warm, which takes less than one by one between views.
"""

import asyncio
import time

from service.logs import RequestLog, RequestNote
from service.metrics import RequestCounts

_MANY = 256
_DELAY = 0.05  # seconds that a note waits at the most


class Requests:
    """The requests that have been answered."""

    def __init__(self, counts: RequestCounts, log: RequestLog) -> None:
        self._counts = counts
        self._log = log
        self._notes: list[RequestNote] = []

    def note(  # noqa: PLR0913, PLR0917 - all there is to tell of a request
        self,
        method: str,
        route: str,
        status: int,
        seconds: float,
        client: str,
        request_id: str,
        trace_id: str | None,
    ) -> None:
        """Note a request. No text may need escaping or masking, nor come from an open set."""
        if not self._notes:
            asyncio.get_running_loop().call_later(_DELAY, self.flush)
        self._notes.append(
            (time.time(), method, route, status, seconds, client, request_id, trace_id)
        )
        if len(self._notes) >= _MANY:
            self.flush()

    def flush(self) -> None:
        """Count and log what has been noted."""
        notes, self._notes = self._notes, []
        self._counts.add(notes)
        self._log.write(notes)
