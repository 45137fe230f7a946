"""The parts that the application carries, each under a typed key."""

from aiohttp import web

from service.config import Config
from service.domain.clock import Now
from service.repositories.sqlite.access import AccessService
from service.repositories.sqlite.api_keys import ApiKeys
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.link_lists import LinkLists
from service.repositories.sqlite.links import SharedReports
from service.repositories.sqlite.videos import Videos
from service.security.passwords import Passwords
from service.security.rate_limiter import RateLimiter
from service.tasks.sweeper import Sweeper
from service.telemetry.request_log import RequestRecorder
from service.web.lifecycle import Lifecycle
from service.web.metrics import Metrics

CONFIG = web.AppKey("CONFIG", Config)


NOW: web.AppKey[Now] = web.AppKey("NOW")


DATABASE = web.AppKey("DATABASE", Database)


VIDEOS = web.AppKey("VIDEOS", Videos)


SHARED_REPORTS = web.AppKey("SHARED_REPORTS", SharedReports)


LINK_LISTS = web.AppKey("LINK_LISTS", LinkLists)


ACCESS = web.AppKey("ACCESS", AccessService)


API_KEYS = web.AppKey("API_KEYS", ApiKeys)


SWEEPER = web.AppKey("SWEEPER", Sweeper)


LOOKUP_LIMITER: web.AppKey[RateLimiter] = web.AppKey("LOOKUP_LIMITER", RateLimiter)
"""Unknown secrets, by the address that names them."""


PASSWORD_LIMITER: web.AppKey[RateLimiter] = web.AppKey("PASSWORD_LIMITER", RateLimiter)
"""Wrong passwords, by the address that tries them and the id of the link."""


PASSWORDS = web.AppKey("PASSWORDS", Passwords)


CREATE_LIMITER: web.AppKey[RateLimiter] = web.AppKey("CREATE_LIMITER", RateLimiter)
"""What is created, by the id of the key."""


LIFECYCLE = web.AppKey("LIFECYCLE", Lifecycle)


REQUESTS = web.AppKey("REQUESTS", RequestRecorder)


METRICS = web.AppKey("METRICS", Metrics)


OPENAPI = web.AppKey("OPENAPI", bytes)
"""The OpenAPI document as it goes out on the wire."""
