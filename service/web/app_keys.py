"""The parts that the application carries, each under a typed key."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from service.config import Config
from service.domain.clock import CachedNow
from service.domain.webhook_addresses import AddressRules
from service.repositories.base import Repositories
from service.security.passwords import Passwords
from service.security.rate_limiter import RateLimiter
from service.security.sign_in_codes import SignInCodes
from service.sharing.access import AccessService
from service.sharing.links import LinkService
from service.sharing.views import ViewCounter
from service.tasks.sweeper import Sweeper
from service.tasks.webhook_dispatcher import WebhookDispatcher
from service.telemetry.request_recorder import RequestRecorder
from service.web.body_memory import BodyMemory
from service.web.index_cache import IndexCache
from service.web.lifecycle import Lifecycle
from service.web.metrics import Metrics
from service.web.pools import Pools
from service.web.render_cache import RenderCache
from service.web.webhook_metrics import WebhookMetrics

CONFIG = web.AppKey("CONFIG", Config)
NOW = web.AppKey("NOW", CachedNow)
REPOSITORIES: web.AppKey[Repositories] = web.AppKey("REPOSITORIES")
LINKS = web.AppKey("LINKS", LinkService)
ACCESS = web.AppKey("ACCESS", AccessService)
VIEWS = web.AppKey("VIEWS", ViewCounter)
PASSWORDS = web.AppKey("PASSWORDS", Passwords)
POOLS = web.AppKey("POOLS", Pools)
INDEXES = web.AppKey("INDEXES", IndexCache)
RENDER_CACHE = web.AppKey("RENDER_CACHE", RenderCache)
WEBHOOKS = web.AppKey("WEBHOOKS", WebhookDispatcher)
WEBHOOK_ADDRESSES = web.AppKey("WEBHOOK_ADDRESSES", AddressRules)
SWEEPER = web.AppKey("SWEEPER", Sweeper)
LOOKUP_LIMITER = web.AppKey("LOOKUP_LIMITER", RateLimiter)
"""Look-ups of unknown share hashes and keys, by client address."""
PASSWORD_LIMITER = web.AppKey("PASSWORD_LIMITER", RateLimiter)
"""Wrong passwords, by client address and link id."""
BODY_MEMORY = web.AppKey("BODY_MEMORY", BodyMemory)
CREATE_LIMITER = web.AppKey("CREATE_LIMITER", RateLimiter)
"""Creates, by API key id."""
SIGN_IN_CODES = web.AppKey("SIGN_IN_CODES", SignInCodes)
"""One-time links into the console."""
LIFECYCLE = web.AppKey("LIFECYCLE", Lifecycle)
PREFLIGHT: web.AppKey[Callable[[web.Request], Awaitable[str]]] = web.AppKey("PREFLIGHT")
"""Returns the CORS header lines of the response to OPTIONS. There only if CORS is configured."""
REQUESTS = web.AppKey("REQUESTS", RequestRecorder)
METRICS = web.AppKey("METRICS", Metrics)
WEBHOOK_METRICS = web.AppKey("WEBHOOK_METRICS", WebhookMetrics)
OPENAPI: web.AppKey[Callable[[], bytes]] = web.AppKey("OPENAPI")
"""Makes the OpenAPI document as JSON, when it is called for the first time."""
