"""The background task that deactivates expired links.

It is never what ends a link: every read compares ``expires_at`` with the clock. It makes the
table say so too, at most one second after the link's time.
"""

import structlog

from service import clock
from service.clock import Clock
from service.periodic import Periodic
from service.repositories.shared_reports import SharedReports

_SOONEST = 0.02  # a timer that fires a hair early must not make the loop spin

log = structlog.get_logger()


class Sweeper:
    """Sweeps at every expiry, and at least every ``interval`` seconds."""

    def __init__(self, shared_reports: SharedReports, now: Clock, interval: float) -> None:
        self._shared_reports = shared_reports
        self._now = now
        self._interval = interval
        self._next_expiry: str | None = None
        self.deactivated = 0
        """Links deactivated since the start."""
        self.task = Periodic("sweeper", self.sweep_once)

    async def sweep_once(self) -> float:
        """Deactivate all that has expired, in small batches so that other writers get between.

        Returns the seconds until the next pass is due.
        """
        self._next_expiry = None  # while a pass runs, every expiry that comes in asks for another
        count = 0
        soonest = await self._shared_reports.next_expiry()
        while soonest is not None and self._delay(soonest) <= 0:
            while swept := await self._shared_reports.sweep():
                count += swept
            soonest = await self._shared_reports.next_expiry()
        self.deactivated += count
        if count:
            log.info("deactivated expired links", count=count)
        self._next_expiry = soonest
        return min(max(self._delay(soonest), _SOONEST), self._interval)

    def expect(self, expires_at: str | None) -> None:
        """Take note of a new link's expiry, and wake early for it where need be."""
        if expires_at is None:
            return
        if self._next_expiry is None or expires_at < self._next_expiry:
            self._next_expiry = expires_at
            self.task.wake()

    def _delay(self, expiry: str | None) -> float:
        return self._interval if expiry is None else clock.to_seconds(expiry) - self._now()
