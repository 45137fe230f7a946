"""The background task that deactivates expired links, and purges those that have long been dead.

It is never what ends a link: every read compares ``expires_at`` with the clock. It makes the
table say so too, at most one second after the link's time.
"""

import math
import time
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from service.domain import clock
from service.domain.clock import Clock
from service.repositories.base import LinkRepository, Repositories
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
        self, repositories: Repositories, now: Clock, interval: float, retention_days: int | None
    ) -> None:
        self._links = repositories.links
        self._retention = repositories.retention
        self._retention_days = retention_days
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
        soonest = await self._links.next_expiry()
        while soonest is not None and self._delay(soonest) <= 0:
            count += await sweep_all(self._links)
            soonest = await self._links.next_expiry()
        self.deactivated += count
        if count:
            log.info("deactivated expired links", count=count)
        await run_adaptive_batches(self._links.delete_old_keys)
        purged = await self._purge()
        self.purged += purged
        if purged:
            log.info("purged dead links", count=purged)
        self._next_expiry = soonest
        if purged >= _PURGE_MOST:
            return _SOONEST
        return min(max(self._delay(soonest), _SOONEST), self._interval)

    async def _purge(self) -> int:
        if self._retention_days is None:
            return 0
        purge = partial(self._retention.purge, self._retention_days)
        return await run_adaptive_batches(purge, _PURGE_MOST)

    def schedule(self, expires_at: str | None) -> None:
        """Take note of a new link's expiry, and wake early for it where need be."""
        if expires_at is None:
            return
        if self._next_expiry is None or expires_at < self._next_expiry:
            self._next_expiry = expires_at
            self.task.wake()

    def _delay(self, expiry: str | None) -> float:
        return self._interval if expiry is None else clock.to_seconds(expiry) - self._now()


async def sweep_all(links: LinkRepository) -> int:
    """Deactivate all that has expired. Returns how many links that were."""
    return await run_adaptive_batches(links.deactivate_expired)


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
