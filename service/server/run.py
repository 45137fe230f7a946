"""Serving: the socket, the signals, and a clean end."""

import asyncio
import gc
import re
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import aiohttp
import structlog
from aiohttp import web

from service.aiohttp_ext.connection_limiter import KEEP_ALIVE, Connections
from service.app import create_app
from service.config import Config
from service.domain.errors import ConfigError
from service.repositories.connect import ENGINE_VERSIONS
from service.server.systemd import Supervisor
from service.tasks.periodic import PeriodicTask
from service.web.app_keys import LIFECYCLE, REPOSITORIES, REQUESTS

try:
    from uvloop import new_event_loop
except ImportError:  # a platform that uvloop has no build for
    from asyncio import new_event_loop  # type: ignore[assignment]

_LINGERING = 2.0  # seconds in which what still comes of a refused body is read, and dropped
_AIOHTTP_FLOOR = (3, 14, 3)  # earlier ones let requests be smuggled in and bombs go off
_AFTERWARDS = 0.1  # seconds for what has had its time already; 0 would be for ever
# Seconds for which a thread of the database's waits for the interpreter's lock before it insists.
# A busy loop hardly ever gives the lock away for long enough; a trip wants it three or four times.
_SWITCH_INTERVAL = 0.0005
_OTHER_FILES = 128  # that the process has open beside its connections, with some to spare

log = structlog.get_logger()


def run(
    config: Config,
    supervisor: Supervisor,
    announce: Callable[[web.Application, "Address"], Awaitable[None]] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way and return.

    Sockets that ``supervisor`` hands over stand in for the configured address. ``announce`` is
    called once connections are accepted. Raises ConfigError, DatabaseRefusedError, and
    OSError where the address can't be had.
    """
    _check_versions()
    sys.setswitchinterval(_SWITCH_INTERVAL)
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
    if config.unix_socket is not None:
        return [web.UnixSite(runner, config.unix_socket)]
    return [web.TCPSite(runner, config.host, config.port)]


def _check_versions() -> None:
    """Raise ConfigError for a library that is too old, whatever has installed it."""
    for name, version, floor in (
        ("aiohttp", aiohttp.__version__, _AIOHTTP_FLOOR),
        *ENGINE_VERSIONS,
    ):
        if tuple(int(number) for number in re.findall(r"\d+", version)[:3]) < floor:
            needed = ".".join(map(str, floor))
            raise ConfigError(f"{name} {version} is too old: {needed} or later is needed")


def _connections(config: Config, server: web.Server) -> Connections:
    most = min(config.max_connections, _files(config.max_connections + _OTHER_FILES) - _OTHER_FILES)
    if most < config.max_connections:
        log.warning("fewer connections than configured: too few files may be open", most=most)
    return Connections(server, max(1, most), config.header_timeout, config.send_timeout)


def _files(wanted: int) -> int:
    """How many files the process may open, after it has asked for as many as it wants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


async def _refuse_if_in_use(path: Path) -> None:
    """Raise OSError where somebody answers at a Unix socket; what nobody does is replaced."""
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except (ConnectionRefusedError, FileNotFoundError):
        return
    writer.close()
    raise OSError(f"{path} is in use by another process")


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
        keepalive_timeout=KEEP_ALIVE,
        lingering_time=_LINGERING,
        shutdown_timeout=_AFTERWARDS,
    )
    try:
        await runner.setup()
        connections = _connections(config, cast("web.Server", runner.server))
        if config.unix_socket is not None and not supervisor.socket_count:
            await _refuse_if_in_use(config.unix_socket)
        sites = _sites(config, supervisor, runner)
        for site in sites:
            await site.start()
        address = _address(runner)
        for warning in await app[REPOSITORIES].startup_warnings():
            log.warning("database warning", detail=warning)
        log.info("listening", url=address.url, socket=str(address.socket or ""))
        if announce is not None:
            await announce(app, address)
        # What is here now stays to the end: no collection of garbage need look at it again.
        gc.collect()
        gc.freeze()
        supervisor.notify("READY=1")
        async with PeriodicTask("connections", connections.check).running():
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
            # aiohttp drops what still comes in of a body once it shuts down, so the requests in
            # flight are waited for before that, and then, in what time is left, the answers that
            # are being written.
            end = loop.time() + config.shutdown_timeout
            await app[LIFECYCLE].stop(config.shutdown_timeout)
            await connections.finish(end - loop.time())
    finally:
        await runner.cleanup()
    log.info("stopped")
