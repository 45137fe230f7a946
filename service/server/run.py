"""Serving: the socket, the signals, and a clean stop."""

import asyncio
import faulthandler
import gc
import re
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp
import structlog
from aiohttp import web

from service.aiohttp_ext.connection_limiter import ConnectionLimiter
from service.aiohttp_ext.server import AppRunner
from service.app import create_app
from service.config import Config
from service.domain.errors import ConfigError
from service.repositories.connect import ENGINE_VERSIONS
from service.server.systemd import Supervisor
from service.tasks.periodic import PeriodicTask
from service.telemetry.log_sink import LogSink
from service.telemetry.tracing import Tracing
from service.web import problems
from service.web.app_keys import CONFIG, LIFECYCLE, REPOSITORIES, REQUESTS

try:
    from uvloop import new_event_loop
except ImportError:  # a platform that uvloop has no build for
    from asyncio import new_event_loop  # type: ignore[assignment] # another class of loops

_AIOHTTP_FLOOR = (3, 14, 3)  # earlier releases have advisories on request smuggling and bombs
# Seconds that aiohttp waits for each connection when all have had their time; 0 is no limit.
_RUNNER_SHUTDOWN_TIMEOUT = 0.1
# Seconds for which a database thread waits for the interpreter's lock before it requests it. A busy
# loop rarely releases the lock for long enough, and a task needs it three or four times.
_SWITCH_INTERVAL = 0.0005
# Seconds after the shutdown timeout for queued writes, background tasks and connections to close.
_CLOSING_TIMEOUT = 2.0
_CLOSING_WARNING = 1.0  # seconds of these after which a log line says that the stop takes long
_OTHER_FILES = 256  # open files of the process beside its connections, with some to spare

log = structlog.get_logger()


def run(
    config: Config,
    supervisor: Supervisor,
    announce: Callable[[web.Application, "Address"], Awaitable[None]] | None = None,
    log_sink: LogSink | None = None,
    tracing: Tracing | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in flight and return.

    Sockets that ``supervisor`` hands over replace the configured address. ``announce`` is called
    once connections are accepted. Raises ConfigError, DatabaseRefusedError, and OSError if the
    address is not available.
    """
    _check_versions()
    sys.setswitchinterval(_SWITCH_INTERVAL)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        make_app = partial(create_app, config, log_sink=log_sink, tracing=tracing)
        runner.run(_serve(config, make_app, supervisor, announce))


def make_runner(app: web.Application) -> AppRunner:
    """Return the runner of an application that ``create_app`` has made."""
    config = app[CONFIG]
    limiter = ConnectionLimiter(
        _connection_limit(config.max_connections), config.header_timeout, config.send_timeout
    )
    return AppRunner(app, problems.from_status, limiter, shutdown_timeout=_RUNNER_SHUTDOWN_TIMEOUT)


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
        return [web.SockSite(runner, listener) for listener in supervisor.sockets()]
    if config.unix_socket is not None:
        return [web.UnixSite(runner, config.unix_socket)]
    return [web.TCPSite(runner, config.host, config.port)]


def _check_versions() -> None:
    """Raise ConfigError for a library that is too old."""
    for name, version, floor in (
        ("aiohttp", aiohttp.__version__, _AIOHTTP_FLOOR),
        *ENGINE_VERSIONS,
    ):
        if tuple(int(number) for number in re.findall(r"\d+", version)[:3]) < floor:
            needed = ".".join(map(str, floor))
            raise ConfigError(f"{name} {version} is too old: {needed} or later is needed")


def _connection_limit(wanted: int) -> int:
    """Return how many connections there may be: ``wanted``, or as many as files may be open."""
    limit = min(wanted, _raise_file_limit(wanted + _OTHER_FILES) - _OTHER_FILES)
    if limit < wanted:
        log.warning("fewer connections than configured: too few files may be open", limit=limit)
    return max(1, limit)


def _raise_file_limit(wanted: int) -> int:
    """Raise the limit of open files to ``wanted`` if the hard limit allows; returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


async def _refuse_if_in_use(path: Path) -> None:
    """Raise OSError if a process accepts connections at a Unix socket."""
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except (ConnectionRefusedError, FileNotFoundError):
        return
    writer.close()
    raise OSError(f"{path} is in use by another process")


async def _finish_requests(app: web.Application, runner: AppRunner, seconds: float) -> None:
    """Let the requests in flight finish and their responses be sent, within ``seconds``.

    aiohttp drops the rest of a body once it shuts down, so the requests finish before that.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    await app[LIFECYCLE].wait_until_idle(seconds)
    await runner.limiter.finish(end - loop.time())


def _end_in_time(shutdown_timeout: float) -> None:
    """Exit with code 1 if the process still runs after the time that a stop has.

    A thread of the C library exits, so a thread that is stuck in a statement, with the interpreter
    lock or without it, delays the stop no longer. Every acknowledged write is on disk by then.
    """
    nowhere = Path("/dev/null").open("w")  # noqa: SIM115 - open to the end; stderr may be full
    faulthandler.dump_traceback_later(shutdown_timeout + _CLOSING_TIMEOUT, exit=True, file=nowhere)
    asyncio.get_running_loop().call_later(
        shutdown_timeout + _CLOSING_WARNING, lambda: log.warning("stop takes too long")
    )


async def _serve(
    config: Config,
    make_app: Callable[[], web.Application],
    supervisor: Supervisor,
    announce: Callable[[web.Application, Address], Awaitable[None]] | None,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    app = make_app()
    runner = make_runner(app)
    try:
        await runner.setup()
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
        # These objects stay to the end: no garbage collection need visit them again.
        gc.collect()
        gc.freeze()
        supervisor.notify("READY=1")
        async with PeriodicTask("connections", runner.limiter.check).running():
            await stop.wait()
            app[REQUESTS].flush()
            log.info("stopping")
            supervisor.notify("STOPPING=1")
            app[LIFECYCLE].begin_stopping()
            stop.clear()  # a second signal ends the delay
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), config.shutdown_delay)
            for site in sites:
                await site.stop()
            _end_in_time(config.shutdown_timeout)
            await _finish_requests(app, runner, config.shutdown_timeout)
    finally:
        await runner.cleanup()
    log.info("stopped")
