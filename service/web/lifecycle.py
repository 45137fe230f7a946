"""The lifecycle of the process: requests in flight, draining, stopping."""

import asyncio
from contextlib import suppress


class Lifecycle:
    """Counts the requests in flight, and waits for them when the process stops."""

    def __init__(self) -> None:
        self.stopping = False
        self._in_flight = 0
        self._idle = asyncio.Event()

    def begin(self) -> None:
        """Count a request as in flight."""
        self._in_flight += 1

    def end(self) -> None:
        """Count a request as answered or dropped."""
        self._in_flight -= 1
        if self.stopping and not self._in_flight:
            self._idle.set()

    def begin_stopping(self) -> None:
        """Fail readiness from now on; requests are still answered."""
        self.stopping = True

    async def wait_until_idle(self, seconds: float) -> None:
        """Wait until the requests in flight have finished, for at most ``seconds``."""
        self.begin_stopping()
        self._idle.clear()  # it may have been set since the draining began
        if self._in_flight:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), seconds)
