"""Background tasks: a function makes one pass, and a loop calls it again and again.

The loop survives and logs every error of a pass, backs off while passes fail, and keeps the time of
the last success and the number of failures since.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from service.domain.errors import UnavailableError
from service.telemetry.logs import describe

_BACKOFF_FIRST = 0.5
_BACKOFF_MAX = 30.0

log = structlog.get_logger()


class PeriodicTask:
    """Calls ``run_once`` for ever. It returns the seconds until the next pass is due."""

    def __init__(self, name: str, run_once: Callable[[], Awaitable[float]]) -> None:
        self.name = name
        self.failures = 0
        """Failed passes since the last pass that succeeded."""
        self.last_success: float | None = None
        """The end of the last pass that succeeded, on the clock of ``time.monotonic``."""
        self.due: float = time.monotonic()
        """The begin of the next pass, on the same clock."""
        self.has_timer = True
        """Whether time brings the next pass. Without it, for a test's own clock, ``wake`` does."""
        self._task: asyncio.Task[None] | None = None
        self._run_once = run_once
        self._wake = asyncio.Event()
        self._is_waiting = False

    @property
    def alive(self) -> bool:
        """Whether the loop is running at all."""
        return self._task is not None and not self._task.done()

    @property
    def idle(self) -> bool:
        """Whether no pass runs, and none is due before time or a call of ``wake`` brings it."""
        return self._is_waiting and not self._wake.is_set()

    def wake(self) -> None:
        """Make the next pass now."""
        self._wake.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the loop as long as the context lasts."""
        self._task = asyncio.create_task(self._run(), name=self.name)
        try:
            yield
        finally:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            delay = await self._pass()
            self.due = time.monotonic() + delay
            # Not wait_for: until Python 3.12 it drops a cancellation that comes with the wake-up.
            self._is_waiting = True
            with suppress(TimeoutError):
                async with asyncio.timeout(delay if self.has_timer else None):
                    await self._wake.wait()
            self._is_waiting = False

    async def _pass(self) -> float:
        try:
            delay = await self._run_once()
        except UnavailableError as error:
            self.failures += 1
            log.warning(
                "background task failed",
                task=self.name,
                failures=self.failures,
                error=describe(error),
            )
        except Exception:
            self.failures += 1
            log.exception("background task failed", task=self.name, failures=self.failures)
        else:
            self.failures = 0
            self.last_success = time.monotonic()
            return delay
        return min(_BACKOFF_FIRST * 2.0 ** min(self.failures - 1, 10), _BACKOFF_MAX)
