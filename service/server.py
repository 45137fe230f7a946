"""Serving: the socket, the signals, and a clean end."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web

from service.app import create_app
from service.config import Config
from service.context import LIFECYCLE

try:
    from uvloop import new_event_loop
except ImportError:  # a platform that uvloop has no build for
    from asyncio import new_event_loop  # type: ignore[assignment]

_KEEP_ALIVE = 75.0
# aiohttp drops what still comes in of a body once it shuts down, so the requests in flight are
# waited for before that; this is for answers that are still being written.
_SHUTDOWN_TIMEOUT = 1.0

log = structlog.get_logger()


def run(
    config: Config, announce: Callable[[web.Application, "Address"], Awaitable[None]] | None = None
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way and return.

    ``announce`` is called once connections are accepted. Raises DatabaseRefusedError, and
    OSError where the address can't be had.
    """
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(config, announce))


@dataclass(frozen=True, slots=True)
class Address:
    """Where the service listens."""

    url: str
    socket: Path | None
    """The Unix socket behind ``url``, if it is one."""


def _address(config: Config, runner: web.AppRunner) -> Address:
    if config.socket is not None:
        return Address("http://localhost", config.socket)
    host = f"[{config.host}]" if ":" in config.host else config.host
    return Address(f"http://{host}:{runner.addresses[0][1]}", None)


async def _serve(
    config: Config, announce: Callable[[web.Application, Address], Awaitable[None]] | None
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    app = create_app(config)
    runner = web.AppRunner(
        app,
        access_log=None,  # it would print paths, and so share hashes
        keepalive_timeout=_KEEP_ALIVE,
        shutdown_timeout=_SHUTDOWN_TIMEOUT,
    )
    try:
        await runner.setup()
        site: web.BaseSite
        if config.socket is not None:
            site = web.UnixSite(runner, config.socket)
        else:
            site = web.TCPSite(runner, config.host, config.port)
        await site.start()
        address = _address(config, runner)
        log.info("listening", url=address.url, socket=str(config.socket or ""))
        if announce is not None:
            await announce(app, address)
        await stop.wait()
        log.info("stopping")
        await site.stop()
        await app[LIFECYCLE].stop(config.shutdown_timeout)
    finally:
        await runner.cleanup()
    log.info("stopped")
