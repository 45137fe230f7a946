"""The private names of aiohttp that this package uses: all of them, and no other package any.

A release of aiohttp may rename them. A feature that misses one of its names is switched off with
one log line, and aiohttp's own way is taken in its place.
"""

import structlog
from aiohttp import web

SERVER_CLASSES = "server classes"
FAST_DISPATCH = "fast dispatch"
CONNECTION_LIMITS = "connection limits"

PRIVATE_NAMES: dict[str, tuple[tuple[type, str], ...]] = {
    SERVER_CLASSES: ((web.AppRunner, "_make_server"),),
    FAST_DISPATCH: ((web.Request, "_match_info"),),
    CONNECTION_LIMITS: (
        (web.RequestHandler, "_next_keepalive_close_time"),
        (web.RequestHandler, "_request_count"),
        (web.RequestHandler, "_request_in_progress"),
    ),
}
"""The private names behind each feature, with the class that has them."""

log = structlog.get_logger()


def is_available(feature: str) -> bool:
    """Return whether aiohttp has all private names of a feature; log a warning if not."""
    missing = [
        f"{cls.__name__}.{name}" for cls, name in PRIVATE_NAMES[feature] if not hasattr(cls, name)
    ]
    if missing:
        log.warning("aiohttp lacks a private name", feature=feature, missing=missing)
    return not missing
