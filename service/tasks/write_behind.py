"""Write-behind: counts are kept in memory and written to the table every few seconds."""

from collections.abc import Awaitable, Callable

import structlog

from service.tasks.periodic import PeriodicTask
from service.telemetry.logs import describe

Write = Callable[[], Awaitable[None]]

log = structlog.get_logger()


def write_behind(name: str, write: Write, interval: float) -> PeriodicTask:
    """Return a task that calls ``write`` every ``interval`` seconds."""

    async def run_once() -> float:
        await write()
        return interval

    return PeriodicTask(name, run_once)


async def flush_on_shutdown(name: str, write: Write) -> None:
    """Call ``write`` once more; a failure is logged, and the shutdown goes on."""
    try:
        await write()
    except Exception as error:  # noqa: BLE001 - logged; the rest of the shutdown goes on
        log.warning("flush on shutdown failed", task=name, error=describe(error))
