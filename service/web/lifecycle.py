"""The lifecycle of the process: requests in flight, draining, stopping."""

import asyncio
from contextlib import suppress


class Lifecycle:
    """Where the process stands between its start and its end, and what it has in hand."""

    def __init__(self) -> None:
        self.stopping = False
        self._in_flight = 0
        self._at_rest = asyncio.Event()

    def begin(self) -> None:
        """Count a request that has come in."""
        self._in_flight += 1

    def end(self) -> None:
        """Count a request that has been dealt with."""
        self._in_flight -= 1
        if self.stopping and not self._in_flight:
            self._at_rest.set()

    def drain(self) -> None:
        """Fail readiness from now on; requests are still answered."""
        self.stopping = True

    async def stop(self, patience: float) -> None:
        """Let the requests in flight finish, for at most ``patience`` seconds."""
        self.drain()
        self._at_rest.clear()  # requests may have come and gone since the draining began
        if self._in_flight:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._at_rest.wait(), patience)
