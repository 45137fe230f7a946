"""The background task that deactivates expired links, and purges those that have long been dead.

It is never what ends a link: every read compares ``expires_at`` with the clock. It makes the
table say so too, at most one second after the link's time.
"""

import math
import time
from collections.abc import Awaitable, Callable

import structlog

from service.domain import clock
from service.domain.clock import Clock
from service.repositories.sqlite.links import SharedReports
from service.repositories.sqlite.retention import Retention
from service.tasks.periodic import PeriodicTask

_BATCH_LEAST, _BATCH_MOST = 100, 3200
# Seconds that a batch may well take: of the processor's, and in all, where the disk is slow.
_WORK, _WAIT = 0.005, 0.2
_PURGE_MOST = 10_000  # links in a pass, so that what expires meanwhile does not wait for long
_SOONEST = 0.02  # a timer that fires a hair early must not make the loop spin

log = structlog.get_logger()


class Sweeper:
    """Sweeps at every expiry, and at least every ``interval`` seconds."""

    def __init__(
        self, shared_reports: SharedReports, retention: Retention, now: Clock, interval: float
    ) -> None:
        self._shared_reports = shared_reports
        self._retention = retention
        self._now = now
        self._interval = interval
        self._next_expiry: str | None = None
        self.deactivated = 0
        """Links deactivated since the start."""
        self.purged = 0
        """Links purged since the start."""
        self.task = PeriodicTask("sweeper", self.sweep_once)

    async def sweep_once(self) -> float:
        """Deactivate and purge what there is, in small batches so that other writers get between.

        Returns the seconds until the next pass is due.
        """
        self._next_expiry = None  # while a pass runs, every expiry that comes in asks for another
        count = 0
        soonest = self._shared_reports.next_expiry()
        while soonest is not None and self._delay(soonest) <= 0:
            count += await sweep_all(self._shared_reports)
            soonest = self._shared_reports.next_expiry()
        self.deactivated += count
        if count:
            log.info("deactivated expired links", count=count)
        await run_adaptive_batches(self._shared_reports.delete_old_keys)
        purged = await run_adaptive_batches(self._retention.purge, _PURGE_MOST)
        self.purged += purged
        if purged:
            log.info("purged dead links", count=purged)
        self._next_expiry = soonest
        if purged >= _PURGE_MOST:
            return _SOONEST
        return min(max(self._delay(soonest), _SOONEST), self._interval)

    def schedule(self, expires_at: str | None) -> None:
        """Take note of a new link's expiry, and wake early for it where need be."""
        if expires_at is None:
            return
        if self._next_expiry is None or expires_at < self._next_expiry:
            self._next_expiry = expires_at
            self.task.wake()

    def _delay(self, expiry: str | None) -> float:
        return self._interval if expiry is None else clock.to_seconds(expiry) - self._now()


async def sweep_all(shared_reports: SharedReports) -> int:
    """Deactivate all that has expired. Returns how many links that were."""
    return await run_adaptive_batches(shared_reports.sweep)


async def run_adaptive_batches(
    step: Callable[[int], Awaitable[int]], most: float = math.inf
) -> int:
    """Take ``step`` after step, each of at most so many rows, until one finds nothing to do.

    Or until ``most`` rows are done. Returns how many that were.

    The batches are such that they keep no other writer waiting long. How many rows that is depends
    on the table: links that expire in the order in which they were made share pages, and thousands
    are written in the time of some that are strewn over a large one.
    """
    count, limit = 0, _BATCH_LEAST
    while True:
        began, worked = time.perf_counter(), _worked()
        done = await step(int(min(limit, most - count)))
        took = max((_worked() - worked) / _WORK, (time.perf_counter() - began) / _WAIT)
        count += done
        if not done or count >= most:
            return count
        if took > 1:
            limit = max(limit // 2, _BATCH_LEAST)
        elif took < 1 / 2:
            limit = min(limit * 2, _BATCH_MOST)


def _worked() -> float:
    """The seconds of the processor's that all threads but this have taken.

    They tell what a batch costs even where the loop is busy, and hears of its end much later.
    """
    return time.process_time() - time.thread_time()
