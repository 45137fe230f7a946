"""The composition root: the one place where the parts are put together."""

import sys
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TextIO

import msgspec
from aiohttp import web

from service import auth, protocol
from service import clock as clocks
from service.clock import Clock
from service.config import Config
from service.context import (
    API_KEYS,
    CONFIG,
    DATABASE,
    LIFECYCLE,
    METRICS,
    NOW,
    OPENAPI,
    REQUESTS,
    SHARED_REPORTS,
    SWEEPER,
    VIDEOS,
    Lifecycle,
)
from service.database import open_database
from service.handlers import documentation, keys, operations, pages, shared_reports, videos
from service.logs import RequestLog
from service.metrics import Metrics, RequestCounts
from service.middleware import surround
from service.openapi import document
from service.periodic import Periodic
from service.repositories.api_keys import ApiKeys
from service.repositories.shared_reports import SharedReports
from service.repositories.videos import Videos
from service.requests import Requests
from service.routing import Route
from service.sweeper import Sweeper

ROUTES: tuple[Route, ...] = (
    *shared_reports.table.routes,
    *videos.table.routes,
    *keys.table.routes,
    *pages.table.routes,
    *documentation.table.routes,
    *operations.table.routes,
)

_KEY_USE_INTERVAL = 10.0


def create_app(
    config: Config,
    *,
    clock: Clock = time.time,
    new_share_hash: Callable[[], str] | None = None,
    log_stream: TextIO = sys.stderr,
) -> web.Application:
    """The application, ready to be run; it opens its database when it starts."""
    protocol.install()
    app = web.Application(middlewares=[surround])
    app[CONFIG] = config
    app[LIFECYCLE] = Lifecycle()
    counts = RequestCounts()
    app[REQUESTS] = Requests(counts, RequestLog(config.log_format, config.log_level, log_stream))
    app[OPENAPI] = msgspec.json.encode(document(ROUTES, config.base_url or "/"))
    app[NOW] = lambda: clocks.to_text(clock())
    for route in ROUTES:
        if route.method == "GET":
            app.router.add_get(route.path, route.handler)  # answers HEAD as well
        else:
            app.router.add_route(route.method, route.path, route.handler)

    async def parts(app: web.Application) -> AsyncIterator[None]:
        make_hash = new_share_hash or partial(auth.new_share_hash, config.hash_length)
        async with open_database(
            config.database, checkpoints=True, slow=config.slow_statement
        ) as database:
            app[DATABASE] = database
            app[VIDEOS] = Videos(database, app[NOW])
            app[API_KEYS] = ApiKeys(database, app[NOW])
            app[SHARED_REPORTS] = SharedReports(database, app[NOW], make_hash)
            app[SWEEPER] = Sweeper(app[SHARED_REPORTS], clock, config.sweep_interval)
            app[METRICS] = Metrics(counts, database, config.database, app[SWEEPER], clock)
            async with app[SWEEPER].task.running(), _key_use(app[API_KEYS]).running():
                yield
            await app[API_KEYS].record_use()
            app[REQUESTS].flush()

    app.cleanup_ctx.append(parts)
    return app


def _key_use(api_keys: ApiKeys) -> Periodic:
    async def once() -> float:
        await api_keys.record_use()
        return _KEY_USE_INTERVAL

    return Periodic("key use", once)
