"""Counts and logs every request, at next to no cost to the request itself.

A request is only appended to a list. A few hundred records are then counted and logged at once,
with the processor's caches warm, which takes less time than one by one between views.
"""

import asyncio

from service.telemetry.request_counts import RequestCounts
from service.telemetry.request_log import RequestLog, RequestRecord

_BATCH_SIZE = 256
_MAX_DELAY = 0.05  # seconds


class RequestRecorder:
    """The requests that have been answered and are not counted and logged yet."""

    def __init__(self, counts: RequestCounts, log: RequestLog) -> None:
        self._counts = counts
        self._log = log
        self._records: list[RequestRecord] = []

    def record(self, record: RequestRecord) -> None:
        """Record a request. Its method and its route must come from closed sets."""
        self._records.append(record)
        count = len(self._records)
        if count == 1:
            asyncio.get_running_loop().call_later(_MAX_DELAY, self.flush)
        elif count >= _BATCH_SIZE:
            self.flush()

    def flush(self) -> None:
        """Count and log what has been recorded."""
        if not self._records:
            return
        records, self._records = self._records, []
        self._counts.add(records)
        self._log.write(records)
