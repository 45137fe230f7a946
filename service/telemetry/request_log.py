"""Every request, counted and logged, at next to no cost to itself.

A request is only noted. A few hundred notes are then worked through at once, with the
processor's caches warm, which takes less than one by one between views.
"""

import asyncio

from service.telemetry.logs import RequestLog, RequestRecord
from service.telemetry.request_counts import RequestCounts

_MANY = 256
_DELAY = 0.05  # seconds that a note waits at the most


class RequestRecorder:
    """The requests that have been answered."""

    def __init__(self, counts: RequestCounts, log: RequestLog) -> None:
        self._counts = counts
        self._log = log
        self._notes: list[RequestRecord] = []

    def record(self, request: RequestRecord) -> None:
        """Note a request. No text may need escaping or masking, nor come from an open set."""
        self._notes.append(request)
        count = len(self._notes)
        if count == 1:
            asyncio.get_running_loop().call_later(_DELAY, self.flush)
        elif count >= _MANY:
            self.flush()

    def flush(self) -> None:
        """Count and log what has been noted."""
        notes, self._notes = self._notes, []
        self._counts.add(notes)
        self._log.write(notes)
