"""Serving: the socket, the signals, and a clean end."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web

from service.app import create_app
from service.config import Config
from service.context import LIFECYCLE, REQUESTS
from service.database import SQLITE_VERSION, wal_race
from service.systemd import Supervisor

try:
    from uvloop import new_event_loop
except ImportError:  # a platform that uvloop has no build for
    from asyncio import new_event_loop  # type: ignore[assignment]

_KEEP_ALIVE = 75.0

log = structlog.get_logger()


def run(
    config: Config,
    supervisor: Supervisor,
    announce: Callable[[web.Application, "Address"], Awaitable[None]] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way and return.

    Sockets that ``supervisor`` hands over stand in for the configured address. ``announce`` is
    called once connections are accepted. Raises DatabaseRefusedError, and
    OSError where the address can't be had.
    """
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(config, supervisor, announce))


@dataclass(frozen=True, slots=True)
class Address:
    """Where the service listens."""

    url: str
    socket: Path | None
    """The Unix socket behind ``url``, if it is one."""


def _address(runner: web.AppRunner) -> Address:
    name = runner.addresses[0]
    if not isinstance(name, tuple):
        return Address("http://localhost", Path(name))
    host, port = name[:2]
    return Address(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}", None)


def _sites(config: Config, supervisor: Supervisor, runner: web.AppRunner) -> list[web.BaseSite]:
    if supervisor.socket_count:
        return [web.SockSite(runner, each) for each in supervisor.sockets()]
    if config.socket is not None:
        return [web.UnixSite(runner, config.socket)]
    return [web.TCPSite(runner, config.host, config.port)]


async def _serve(
    config: Config,
    supervisor: Supervisor,
    announce: Callable[[web.Application, Address], Awaitable[None]] | None,
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
        # aiohttp drops what still comes in of a body once it shuts down, so the requests in flight
        # are waited for before that; this is for answers that are still being written.
        shutdown_timeout=config.shutdown_timeout,
    )
    try:
        await runner.setup()
        sites = _sites(config, supervisor, runner)
        for site in sites:
            await site.start()
        address = _address(runner)
        if race := wal_race():
            log.warning("this SQLite has a known fault", sqlite=SQLITE_VERSION, note=race)
        log.info("listening", url=address.url, socket=str(address.socket or ""))
        if announce is not None:
            await announce(app, address)
        # What is here now stays to the end: no collection of garbage need look at it again.
        gc.collect()
        gc.freeze()
        supervisor.notify("READY=1")
        await stop.wait()
        app[REQUESTS].flush()
        log.info("stopping")
        supervisor.notify("STOPPING=1")
        app[LIFECYCLE].drain()
        stop.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), config.shutdown_delay)
        for site in sites:
            await site.stop()
        await app[LIFECYCLE].stop(config.shutdown_timeout)
    finally:
        await runner.cleanup()
    log.info("stopped")
