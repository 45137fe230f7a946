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
from service.config import Config
from service.domain import clock as clocks
from service.domain.clock import Clock
from service.repositories.sqlite.access import Openings, signing_key
from service.repositories.sqlite.api_keys import ApiKeys
from service.repositories.sqlite.engine.database import open_database
from service.repositories.sqlite.engine.errors import described
from service.repositories.sqlite.link_lists import LinkLists
from service.repositories.sqlite.links import SharedReports
from service.repositories.sqlite.retention import Retention
from service.repositories.sqlite.videos import Videos
from service.security import credentials
from service.security.access_tokens import Tokens
from service.security.passwords import Passwords
from service.security.rate_limiter import Limit
from service.tasks.periodic import Periodic
from service.tasks.sweeper import Sweeper
from service.telemetry.logs import RequestLog
from service.telemetry.request_log import Requests
from service.web import operations
from service.web.api import api_keys, shared_reports, videos
from service.web.app_keys import (
    API_KEYS,
    CONFIG,
    CREATES,
    DATABASE,
    GUESSES,
    LIFECYCLE,
    LINK_LISTS,
    METRICS,
    NOW,
    OPENAPI,
    OPENINGS,
    PASSWORD_GUESSES,
    PASSWORDS,
    REQUESTS,
    SHARED_REPORTS,
    SWEEPER,
    VIDEOS,
    Lifecycle,
)
from service.web.metrics import Metrics, RequestCounts
from service.web.middleware import Middleware
from service.web.openapi import handlers as openapi_handlers
from service.web.openapi.document import document
from service.web.pages import handlers as page_handlers
from service.web.pages import rendering
from service.web.routing import Route, nowhere, quicken

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
    error_responses.install()
    rendering.load()
    lifecycle = Lifecycle()
    counts = RequestCounts()
    requests = Requests(counts, RequestLog(config.log_format, config.log_level, log_stream))
    app = web.Application()
    app[CONFIG] = config
    app[GUESSES] = Limit("guesses", config.guesses, clock)
    app[PASSWORD_GUESSES] = Limit("passwords", config.password_guesses, clock)
    app[CREATES] = Limit("creates", config.creates, clock)
    app[LIFECYCLE] = lifecycle
    app[REQUESTS] = requests
    app[OPENAPI] = msgspec.json.encode(document(ROUTES, config.base_url or "/"))
    app[NOW] = clocks.teller(clock)
    _add_routes(app.router, Middleware(config.trusted_proxies, lifecycle, requests))
    quicken(app)

    async def parts(app: web.Application) -> AsyncIterator[None]:
        make_hash = new_share_hash or credentials.ShareHashes(config.hash_length)
        async with open_database(
            config.database,
            serves=True,
            checkpoints=config.checkpoints == "service",
            slow=config.slow_statement,
        ) as database:
            app[DATABASE] = database
            app[VIDEOS] = Videos(database, app[NOW])
            app[API_KEYS] = ApiKeys(database, app[NOW])
            app[SHARED_REPORTS] = SharedReports(database, app[NOW], make_hash)
            app[LINK_LISTS] = LinkLists(database, app[NOW])
            app[PASSWORDS] = Passwords()
            tokens = Tokens(await signing_key(database))
            app[OPENINGS] = Openings(database, app[NOW], tokens)
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
        handler: Any = middleware.around(route.path, route.handler)
        if route.method == "GET":
            router.add_get(route.path, handler)  # answers HEAD as well
        else:
            router.add_route(route.method, route.path, handler)
    anything: Any = middleware.around("-", nowhere)
    router.add_route("*", "/{path:(?s:.*)}", anything)


async def _write_last(what: str, write: Awaitable[None]) -> None:
    try:
        await write
    except Exception as error:  # noqa: BLE001 - told, and the rest of the end goes on
        log.warning("not written at the end", what=what, fault=described(error))


def _key_use(api_keys: ApiKeys) -> Periodic:
    async def once() -> float:
        await api_keys.record_use()
        return _KEY_USE_INTERVAL

    return Periodic("key use", once)


def _views(shared_reports: SharedReports) -> Periodic:
    async def once() -> float:
        await shared_reports.record_views()
        return _VIEWS_INTERVAL

    return Periodic("views", once)
