"""The composition root: the one place where the parts are put together."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from typing import Any

import msgspec
from aiohttp import web

from service import __version__
from service.aiohttp_ext.webhook_client import WebhookClient
from service.config import Config
from service.domain.clock import CachedNow, Clock
from service.domain.webhook_addresses import AddressRules
from service.repositories.base import Repositories
from service.repositories.connect import open_repositories
from service.security.access_tokens import Tokens
from service.security.credentials import ShareHashGenerator
from service.security.passwords import Passwords
from service.security.rate_limiter import RateLimiter
from service.security.sign_in_codes import SignInCodes
from service.sharing.access import AccessService
from service.sharing.links import LinkService
from service.sharing.views import ViewCounter
from service.tasks.sweeper import Sweeper
from service.tasks.view_events import tell_views
from service.tasks.webhook_dispatcher import TRY_SECONDS, WebhookDispatcher
from service.tasks.write_behind import flush_on_shutdown, write_behind
from service.telemetry.log_sink import LogSink
from service.telemetry.request_counts import RequestCounts
from service.telemetry.request_log import RequestLog
from service.telemetry.request_recorder import RequestRecorder
from service.telemetry.tracing import Tracing
from service.web import index, operations
from service.web.api import api_keys, events, shared_reports, statistics, videos, webhooks
from service.web.app_keys import (
    ACCESS,
    BODY_MEMORY,
    CONFIG,
    CREATE_LIMITER,
    INDEXES,
    LIFECYCLE,
    LINKS,
    LOOKUP_LIMITER,
    METRICS,
    NOW,
    OPENAPI,
    PASSWORD_LIMITER,
    PASSWORDS,
    POOLS,
    PREFLIGHT,
    RENDER_CACHE,
    REPOSITORIES,
    REQUESTS,
    SIGN_IN_CODES,
    SWEEPER,
    VIEWS,
    WEBHOOK_ADDRESSES,
    WEBHOOK_METRICS,
    WEBHOOKS,
)
from service.web.body_memory import BodyMemory
from service.web.bots import load_agents
from service.web.console import events as console_events
from service.web.console import keys as console_keys
from service.web.console import link_actions, link_forms, sign_in, webhook_actions
from service.web.console import links as console_links
from service.web.console import statistics as console_statistics
from service.web.console import videos as console_videos
from service.web.console import webhooks as console_webhooks
from service.web.console.routing import ConsoleRoute
from service.web.cors import Cors, CorsLines
from service.web.index_cache import IndexCache
from service.web.lifecycle import Lifecycle
from service.web.metrics import Metrics
from service.web.middleware import Middleware
from service.web.openapi import handlers as openapi_handlers
from service.web.openapi.document import document
from service.web.pages import download_handlers, rendering
from service.web.pages import handlers as page_handlers
from service.web.pools import Pools
from service.web.render_cache import RenderCache
from service.web.routing import Handler, Route, fallback_route
from service.web.webhook_metrics import WebhookMetrics

ROUTES: tuple[Route, ...] = (
    *shared_reports.table.routes,
    *videos.table.routes,
    *statistics.table.routes,
    *events.table.routes,
    *api_keys.table.routes,
    *webhooks.table.routes,
    *page_handlers.table.routes,
    *download_handlers.table.routes,
    *index.table.routes,
    *openapi_handlers.table.routes,
    *operations.table.routes,
)

CONSOLE_ROUTES: tuple[ConsoleRoute, ...] = (
    *sign_in.table.routes,
    *console_videos.table.routes,
    *console_links.table.routes,
    *link_forms.table.routes,
    *link_actions.table.routes,
    *console_statistics.table.routes,
    *console_events.table.routes,
    *console_webhooks.table.routes,
    *webhook_actions.table.routes,
    *console_keys.table.routes,
)
"""The pages of the console: for people, so they are not in the OpenAPI document."""

_RECURSION_LIMIT = 2_000  # metadata stored before its bound of 32 levels has up to 988
_KEY_USE_INTERVAL = 10.0  # seconds
_VIEWS_INTERVAL = 4.0  # seconds, so that views are in the table within five


def create_app(
    config: Config,
    *,
    clock: Clock = time.time,
    new_share_hash: Callable[[], str] | None = None,
    log_sink: LogSink | None = None,
    tracing: Tracing | None = None,
) -> web.Application:
    """Return the application, ready to be run; it opens its database when it starts.

    Requests are logged to ``log_sink``, by default standard error, and traced by ``tracing``.
    """
    _prepare_process()
    counts = RequestCounts()
    sink = log_sink or LogSink(sys.stderr)
    log = RequestLog(config.log_format, config.log_level, sink)
    app = web.Application()
    app[CONFIG] = config
    app[NOW] = CachedNow(clock)
    app[LOOKUP_LIMITER] = RateLimiter("guesses", config.lookup_rate_limit, clock)
    app[PASSWORD_LIMITER] = RateLimiter("passwords", config.password_rate_limit, clock)
    app[CREATE_LIMITER] = RateLimiter("creates", config.create_rate_limit, clock)
    app[BODY_MEMORY] = BodyMemory()
    app[LIFECYCLE] = Lifecycle()
    app[REQUESTS] = RequestRecorder(counts, log)
    app[OPENAPI] = lambda: _openapi(config.base_url or "/")
    _add_routes(app, tracing)

    async def run(app: web.Application) -> AsyncIterator[None]:
        make_hash = new_share_hash or ShareHashGenerator(config.share_hash_length)
        decides = clock is not time.time
        async with (
            open_repositories(config, app[NOW], serves=True, decides=decides) as repositories,
            _traced(repositories, tracing),
            _services(app, repositories, make_hash),
            _tasks(app, repositories, clock, tracing),
        ):
            sources = (counts, app[RENDER_CACHE], app[WEBHOOK_METRICS])
            app[METRICS] = Metrics(sources, repositories, app[SWEEPER], sink, clock)
            yield
        app[REQUESTS].flush()

    app.cleanup_ctx.append(run)
    return app


def _prepare_process() -> None:
    """Make, once a process, what all applications in it need."""
    sys.setrecursionlimit(max(sys.getrecursionlimit(), _RECURSION_LIMIT))
    rendering.load()
    load_agents()


@asynccontextmanager
async def _traced(repositories: Repositories, tracing: Tracing | None) -> AsyncIterator[None]:
    """Trace the statements, if at all, and send the last spans at the end."""
    if tracing is None:
        yield
        return
    repositories.trace(tracing)
    yield
    await tracing.close()


@lru_cache(maxsize=4)
def _openapi(base_url: str) -> bytes:
    """The published document. Making it takes 20 ms."""
    return msgspec.json.encode(document(ROUTES, base_url))


@asynccontextmanager
async def _services(
    app: web.Application, repositories: Repositories, make_hash: Callable[[], str]
) -> AsyncIterator[None]:
    """The services that the handlers call."""
    app[REPOSITORIES] = repositories
    app[VIEWS] = ViewCounter(repositories.links, app[NOW])
    repositories.on_replaced(app[VIEWS].drop)
    app[RENDER_CACHE] = RenderCache(app[CONFIG].render_cache)
    repositories.on_replaced(app[RENDER_CACHE].clear)
    app[INDEXES] = IndexCache(app[CONFIG].render_cache)
    repositories.on_replaced(app[INDEXES].clear)
    app[SIGN_IN_CODES] = SignInCodes(app[NOW])
    app[LINKS] = LinkService(repositories, app[VIEWS], app[NOW], make_hash, app[CONFIG].link_rules)
    access = repositories.access
    await access.make_signing_key()
    app[ACCESS] = AccessService(access, Tokens(access.signing_key), app[NOW])
    app[PASSWORDS] = Passwords()
    app[POOLS] = Pools()
    try:
        yield
    finally:
        app[PASSWORDS].close()
        app[POOLS].close()


@asynccontextmanager
async def _tasks(
    app: web.Application, repositories: Repositories, clock: Clock, tracing: Tracing | None
) -> AsyncIterator[None]:
    """The background tasks, and what they still have to write at the end."""
    config, views, keys = app[CONFIG], app[VIEWS], repositories.api_keys
    view_events = partial(tell_views, repositories.events)
    app[SWEEPER] = Sweeper(repositories, clock, config)
    async with (
        app[SWEEPER].task.running(),
        write_behind("key use", keys.record_use, _KEY_USE_INTERVAL).running(),
        write_behind("views", views.write, _VIEWS_INTERVAL).running(),
        write_behind("view events", view_events, _VIEWS_INTERVAL).running(),
        _webhooks(app, repositories, clock, tracing),
    ):
        yield
    await asyncio.gather(
        flush_on_shutdown("key use", keys.record_use), flush_on_shutdown("views", views.write)
    )


@asynccontextmanager
async def _webhooks(
    app: web.Application, repositories: Repositories, clock: Clock, tracing: Tracing | None
) -> AsyncIterator[None]:
    """The dispatcher of webhooks, and its client."""
    rules = app[WEBHOOK_ADDRESSES] = AddressRules(app[CONFIG].webhook_networks or ())
    user_agent = f"shared-reports/{__version__}"
    client = WebhookClient(rules.is_allowed, rules.is_named, user_agent, TRY_SECONDS)
    if tracing is not None:
        client.post = tracing.delivery(client.post)  # type: ignore[method-assign] # wrapped in place, so that nothing is paid without traces
    app[WEBHOOKS] = WebhookDispatcher(repositories.webhook_queue, client, clock)
    app[WEBHOOK_METRICS] = WebhookMetrics(app[WEBHOOKS], repositories.webhook_queue, clock)
    try:
        async with app[WEBHOOKS].running():
            yield
    finally:
        await client.close()


def _add_routes(app: web.Application, tracing: Tracing | None) -> None:
    config, router = app[CONFIG], app.router
    middleware = Middleware(config.trusted_proxies, app[LIFECYCLE], app[REQUESTS], app[NOW])
    cors = Cors(config.cors_origins, ROUTES) if config.cors_origins else None
    if cors is not None:
        app[PREFLIGHT] = cors.preflight_lines

    def wrap(path: str, handler: Handler, cors_lines: CorsLines | None = None) -> Any:  # noqa: ANN401 - Response is no subclass of aiohttp's, but has every attribute that aiohttp uses
        wrapped = middleware.wrap(path, handler, cors_lines)
        return wrapped if tracing is None else tracing.request(path, wrapped)

    for route in ROUTES:
        handler = wrap(route.path, route.handler, cors.lines_of(route) if cors else None)
        # A job id may contain a brace; aiohttp's default pattern excludes it.
        path = route.path.replace("}", ":[^/]+}")
        if route.method == "GET":
            router.add_get(path, handler)  # answers HEAD as well
        else:
            router.add_route(route.method, path, handler)
    if config.console == "on":
        for page in CONSOLE_ROUTES:
            router.add_route(page.method, page.path, wrap(page.path, page.handler))
    # OpenAPI has no paths that end in a slash, so this is not in ROUTES.
    router.add_get("/r/{share_hash}/", wrap("/r/{share_hash}", page_handlers.slash_page))
    fallback = wrap("-", fallback_route, cors.unrouted if cors else None)
    router.add_route("*", "/{path:(?s:.*)}", fallback)
