"""The background task that deactivates expired links, and deletes the rows of dead ones.

No link is dead because of it: every read compares ``expires_at`` with the clock, and asks whether
the link was revoked. The task makes the table agree, for an expiry at most one second later.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import structlog

from service.config import Config
from service.domain import clock
from service.domain.clock import Clock
from service.domain.errors import UnavailableError
from service.domain.statistics import oldest_hour
from service.repositories.base import LinkRepository, Repositories
from service.tasks.periodic import PeriodicTask

_BATCH_MIN, _BATCH_MAX = 100, 3200  # rows
_BATCH_CPU_SECONDS = 0.005
_BATCH_SECONDS = 0.02  # with the wait for the disk: other writers wait at most 50 ms
_PASS_ROWS = (
    10_000  # rows of one kind that a pass deletes: links that expire meanwhile have to wait
)
_STATISTICS_ROWS = 50_000
"""Rows of statistics that a pass looks at: 10 ms of CPU if all stay, 24 ms if none does."""
_MIN_DELAY = 0.02  # seconds; a timer that fires a hair early must not make the loop spin
_ANNOUNCEMENT_INTERVAL = 1.0  # seconds; each makes all other instances look at the table
_EARLY_DELAY = 1.0  # seconds; the clock of the database server may be minutes behind ours

log = structlog.get_logger()


class Sweeper:
    """Makes a pass at every expiry, and at least every ``sweep_interval`` seconds."""

    def __init__(self, repositories: Repositories, now: Clock, config: Config) -> None:
        self._repositories = repositories
        self._links = repositories.links
        self._retention = repositories.retention
        self._retention_days = config.retention_days
        self._events = repositories.events
        self._deliveries = repositories.webhook_queue
        self._event_days = config.event_days
        self._statistics = repositories.statistics
        self._statistics_days = config.statistics_days
        self._statistics_due = now() + config.sweep_interval
        self._now = now
        self._interval = config.sweep_interval
        self._pass_lock = asyncio.Lock()
        self._next_expiry: str | None = None
        self._is_unannounced = False
        """Whether a link expires before all that the other instances know of."""
        self._announced_at = -math.inf
        """The latest announcement, on the clock of ``time.monotonic``."""
        self.deactivated = 0
        """Links deactivated since the start."""
        self.purged = 0
        """Links purged since the start."""
        self.purged_events = 0
        """Events purged since the start."""
        self.task = PeriodicTask("sweeper", self.sweep_once)
        repositories.on_announced("expiry", self.task.wake)

    async def sweep_once(self) -> float:
        """Deactivate and delete in small batches, between which other writers run.

        Returns the seconds until the next pass is due. A second call waits for the first.
        """
        async with self._pass_lock:
            return await self._make_pass()

    async def _make_pass(self) -> float:
        self._next_expiry = None  # during a pass, each new expiry schedules another pass
        announcement_delay = await self._announce()
        count, min_delay = 0, _MIN_DELAY
        soonest = await self._links.next_expiry()
        while soonest is not None and self._delay(soonest) <= 0:
            swept = await sweep_all(self._links)
            soonest = await self._links.next_expiry()
            if not swept:
                min_delay = _EARLY_DELAY
                break
            count += swept
        self.deactivated += count
        if count:
            log.info("deactivated expired links", count=count)
        steps = (
            *(self._delete_revoked, self._delete_old_keys, self._purge, self._purge_deliveries),
            self._purge_events,
        )
        has_more = any([await step() >= _PASS_ROWS for step in steps])
        await self._purge_statistics()
        self._next_expiry = soonest
        if has_more:
            return _MIN_DELAY
        return min(max(self._delay(soonest), min_delay), self._interval, announcement_delay)

    async def _announce(self) -> float:
        """Tell the other instances of an earlier expiry, in case this one stops before it.

        Returns the seconds until that is due, if it was too early now.
        """
        if not self._is_unannounced:
            return math.inf
        delay = self._announced_at + _ANNOUNCEMENT_INTERVAL - time.monotonic()
        if delay > 0:
            return delay
        self._is_unannounced = False
        self._announced_at = time.monotonic()
        with suppress(UnavailableError):  # they look at the table themselves, too
            await self._repositories.announce("expiry")
        return math.inf

    async def delete_revoked(self) -> None:
        """Delete a first batch of what a revocation, a deletion or a replacement has left behind.

        So the rows of few links are gone when the answer to their revocation begins. The other
        batches follow in passes.
        """
        with suppress(UnavailableError):  # the next pass tries it again
            if await self._links.delete_revoked(_BATCH_MIN) >= _BATCH_MIN:
                self.task.wake()

    async def _delete_revoked(self) -> int:
        deleted = await run_adaptive_batches(self._links.delete_revoked, _PASS_ROWS)
        if deleted:
            log.info("deleted rows of revoked links", count=deleted)
        return deleted

    async def _delete_old_keys(self) -> int:
        return await run_adaptive_batches(self._links.delete_old_keys, _PASS_ROWS)

    async def _purge(self) -> int:
        if self._retention_days is None:
            return 0
        purge = partial(self._retention.purge, self._retention_days)
        purged = await run_adaptive_batches(purge, _PASS_ROWS)
        self.purged += purged
        if purged:
            log.info("purged dead links", count=purged)
        return purged

    async def _purge_deliveries(self) -> int:
        purge = partial(self._deliveries.purge, self._event_days)
        return await run_adaptive_batches(purge, _PASS_ROWS)

    async def _purge_events(self) -> int:
        purge = partial(self._events.purge, self._event_days)
        purged = await run_adaptive_batches(purge, _PASS_ROWS)
        self.purged_events += purged
        if purged:
            log.info("purged events", count=purged)
        return purged

    async def _purge_statistics(self) -> None:
        """Look at some of the statistics, at most once in an interval.

        Passes come at each expiry, and no reader sees what is too old, deleted or not.
        """
        present = self._now()
        if present < self._statistics_due:
            return
        self._statistics_due = present + self._interval
        oldest = oldest_hour(clock.to_text(present), self._statistics_days)
        await run_adaptive_batches(partial(self._statistics.purge, oldest), _STATISTICS_ROWS)

    def schedule(self, expires_at: str | None) -> None:
        """Make a pass when a link expires; None if it never does."""
        if expires_at is None:
            return
        if self._next_expiry is None or expires_at < self._next_expiry:
            self._next_expiry = expires_at
            self._is_unannounced = True
            self.task.wake()

    def _delay(self, expiry: str | None) -> float:
        return self._interval if expiry is None else clock.to_seconds(expiry) - self._now()


async def sweep_all(links: LinkRepository) -> int:
    """Deactivate all expired links. Return how many."""
    return await run_adaptive_batches(links.deactivate_expired, seconds=links.sweep_seconds)


async def run_adaptive_batches(
    step: Callable[[int], Awaitable[int]],
    limit: float = math.inf,
    *,
    seconds: float = _BATCH_SECONDS,
) -> int:
    """Call ``step`` with a batch size until it returns 0 rows, or ``limit`` rows are done.

    Return how many rows are done.

    The batch size follows the time that a batch takes, ``seconds`` at most, so that no other writer
    waits long. It depends on the table: links that expire in the order of their creation share
    pages, and thousands of them are written in the time of a few that are scattered over a large
    table.
    """
    count, size = 0, _BATCH_MIN
    while True:
        start, cpu_start = time.perf_counter(), _cpu_seconds()
        done = await step(int(min(size, limit - count)))
        load = max(
            (_cpu_seconds() - cpu_start) / _BATCH_CPU_SECONDS,
            (time.perf_counter() - start) / seconds,
        )
        count += done
        if not done or count >= limit:
            return count
        if load > 1:
            size = max(size // 2, _BATCH_MIN)
        elif load < 1 / 2:
            size = min(size * 2, _BATCH_MAX)


def _cpu_seconds() -> float:
    """Return the CPU seconds of all threads but this one.

    They show what a batch costs even if the loop is busy and learns of the batch's end late.
    """
    return time.process_time() - time.thread_time()
