"""The composition root: the one place where the parts are put together."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TextIO

import msgspec
import structlog
from aiohttp import web

from service.aiohttp_ext import error_responses
from service.aiohttp_ext.dispatch import install_fast_dispatch
from service.config import Config
from service.domain import clock as clocks
from service.domain.clock import Clock
from service.repositories.sqlite.access import AccessService, signing_key
from service.repositories.sqlite.api_keys import ApiKeys
from service.repositories.sqlite.engine.database import open_database
from service.repositories.sqlite.link_lists import LinkLists
from service.repositories.sqlite.links import SharedReports
from service.repositories.sqlite.retention import Retention
from service.repositories.sqlite.videos import Videos
from service.security import credentials
from service.security.access_tokens import Tokens
from service.security.passwords import Passwords
from service.security.rate_limiter import RateLimiter
from service.tasks.periodic import PeriodicTask
from service.tasks.sweeper import Sweeper
from service.telemetry.logs import RequestLog, describe
from service.telemetry.request_counts import RequestCounts
from service.telemetry.request_log import RequestRecorder
from service.web import operations, problems
from service.web.api import api_keys, shared_reports, videos
from service.web.app_keys import (
    ACCESS,
    API_KEYS,
    CONFIG,
    CREATE_LIMITER,
    DATABASE,
    LIFECYCLE,
    LINK_LISTS,
    LOOKUP_LIMITER,
    METRICS,
    NOW,
    OPENAPI,
    PASSWORD_LIMITER,
    PASSWORDS,
    REQUESTS,
    SHARED_REPORTS,
    SWEEPER,
    VIDEOS,
)
from service.web.lifecycle import Lifecycle
from service.web.metrics import Metrics
from service.web.middleware import Middleware
from service.web.openapi import handlers as openapi_handlers
from service.web.openapi.document import document
from service.web.pages import handlers as page_handlers
from service.web.pages import rendering
from service.web.routing import Route, fallback_route

ROUTES: tuple[Route, ...] = (
    *shared_reports.table.routes,
    *videos.table.routes,
    *api_keys.table.routes,
    *page_handlers.table.routes,
    *openapi_handlers.table.routes,
    *operations.table.routes,
)

_KEY_USE_INTERVAL = 10.0
_VIEWS_INTERVAL = 4.0  # so that they are written down within five seconds

log = structlog.get_logger()


def create_app(
    config: Config,
    *,
    clock: Clock = time.time,
    new_share_hash: Callable[[], str] | None = None,
    log_stream: TextIO = sys.stderr,
) -> web.Application:
    """The application, ready to be run; it opens its database when it starts."""
    error_responses.install(problems.from_status)
    rendering.load()
    lifecycle = Lifecycle()
    counts = RequestCounts()
    requests = RequestRecorder(counts, RequestLog(config.log_format, config.log_level, log_stream))
    app = web.Application()
    app[CONFIG] = config
    app[LOOKUP_LIMITER] = RateLimiter("guesses", config.lookup_rate_limit, clock)
    app[PASSWORD_LIMITER] = RateLimiter("passwords", config.password_rate_limit, clock)
    app[CREATE_LIMITER] = RateLimiter("creates", config.create_rate_limit, clock)
    app[LIFECYCLE] = lifecycle
    app[REQUESTS] = requests
    app[OPENAPI] = msgspec.json.encode(document(ROUTES, config.base_url or "/"))
    app[NOW] = clocks.cached_now(clock)
    _add_routes(app.router, Middleware(config.trusted_proxies, lifecycle, requests))
    install_fast_dispatch(app)

    async def parts(app: web.Application) -> AsyncIterator[None]:
        make_hash = new_share_hash or credentials.ShareHashGenerator(config.share_hash_length)
        async with open_database(
            config.database,
            serves=True,
            checkpoints=config.checkpointer == "service",
            slow=config.slow_query_seconds,
        ) as database:
            app[DATABASE] = database
            app[VIDEOS] = Videos(database, app[NOW])
            app[API_KEYS] = ApiKeys(database, app[NOW])
            app[SHARED_REPORTS] = SharedReports(database, app[NOW], make_hash)
            app[LINK_LISTS] = LinkLists(database, app[NOW])
            app[PASSWORDS] = Passwords()
            tokens = Tokens(await signing_key(database))
            app[ACCESS] = AccessService(database, app[NOW], tokens)
            retention = Retention(database, app[NOW], config.retention_days)
            app[SWEEPER] = Sweeper(app[SHARED_REPORTS], retention, clock, config.sweep_interval)
            app[METRICS] = Metrics(counts, database, config.database, app[SWEEPER], clock)
            async with (
                app[SWEEPER].task.running(),
                _key_use(app[API_KEYS]).running(),
                _views(app[SHARED_REPORTS]).running(),
            ):
                yield
            await asyncio.gather(
                _write_last("key use", app[API_KEYS].record_use()),
                _write_last("views", app[SHARED_REPORTS].record_views()),
            )
            app[PASSWORDS].close()
            app[REQUESTS].flush()

    app.cleanup_ctx.append(parts)
    return app


def _add_routes(router: web.UrlDispatcher, middleware: Middleware) -> None:
    for route in ROUTES:
        # An Answer is no response of aiohttp's, but has all that is asked of one.
        handler: Any = middleware.wrap(route.path, route.handler)
        if route.method == "GET":
            router.add_get(route.path, handler)  # answers HEAD as well
        else:
            router.add_route(route.method, route.path, handler)
    anything: Any = middleware.wrap("-", fallback_route)
    router.add_route("*", "/{path:(?s:.*)}", anything)


async def _write_last(what: str, write: Awaitable[None]) -> None:
    try:
        await write
    except Exception as error:  # noqa: BLE001 - told, and the rest of the end goes on
        log.warning("not written at the end", what=what, fault=describe(error))


def _key_use(api_keys: ApiKeys) -> PeriodicTask:
    async def run_once() -> float:
        await api_keys.record_use()
        return _KEY_USE_INTERVAL

    return PeriodicTask("key use", run_once)


def _views(shared_reports: SharedReports) -> PeriodicTask:
    async def run_once() -> float:
        await shared_reports.record_views()
        return _VIEWS_INTERVAL

    return PeriodicTask("views", run_once)
