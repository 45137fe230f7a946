"""The parts that the application carries, each under a typed key."""

from dataclasses import dataclass

from aiohttp import web

from service.clock import Now
from service.config import Config
from service.database import Database
from service.repositories.api_keys import ApiKeys
from service.repositories.shared_reports import SharedReports
from service.repositories.videos import Videos
from service.sweeper import Sweeper


@dataclass(slots=True)
class Lifecycle:
    """Where the process stands between its start and its end."""

    stopping: bool = False


CONFIG = web.AppKey("CONFIG", Config)
NOW: web.AppKey[Now] = web.AppKey("NOW")
DATABASE = web.AppKey("DATABASE", Database)
VIDEOS = web.AppKey("VIDEOS", Videos)
SHARED_REPORTS = web.AppKey("SHARED_REPORTS", SharedReports)
API_KEYS = web.AppKey("API_KEYS", ApiKeys)
SWEEPER = web.AppKey("SWEEPER", Sweeper)
LIFECYCLE = web.AppKey("LIFECYCLE", Lifecycle)
