"""Health checks and metrics, for operators and their probes."""

import asyncio
import time
from collections.abc import Awaitable

import msgspec
from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from service.aiohttp_ext.response import Response, json_response, raw_response
from service.domain.errors import ServiceError
from service.telemetry.logs import describe
from service.web.app_keys import (
    LIFECYCLE,
    METRICS,
    REPOSITORIES,
    REQUESTS,
    SWEEPER,
    WEBHOOK_METRICS,
    WEBHOOKS,
)
from service.web.routing import RouteTable

table = RouteTable("Operations")

_SWEEPER_LATE = 10.0  # seconds; a sweep of many links takes a while
_CHECK_TIMEOUT = 2.0  # seconds; shorter than a probe's, so that the body can name the failed check


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether the process can do its work, and each check behind that."""

    status: str
    checks: dict[str, str]
    sqlite: str = ""
    """The version of SQLite, if it is the database."""
    postgresql: str = ""
    """The version of the server, if the database is PostgreSQL."""
    notes: tuple[str, ...] = ()
    """What an operator should know, and what does not stop the work."""


@table.public("GET", "/livez", operation="checkLiveness", returns=Health)
async def livez(_request: web.Request) -> Response:
    """Report that the process is alive. Reads nothing.

    For a liveness probe: it needs neither the database nor the background tasks.
    """
    return json_response(Health("ok", {}))


# 503 has the same body as 200.
@table.public("GET", "/readyz", operation="checkReadiness", returns=Health, also=(503,))
@table.public("GET", "/healthz", operation="checkHealthz", returns=Health, also=(503,))
@table.public("GET", "/api/health", operation="checkHealth", returns=Health, also=(503,))
async def readyz(request: web.Request) -> Response:
    """Report whether the process can serve: 503 and the failing checks if it cannot.

    For a readiness probe. Each check is `ok` or the reason why it fails.
    """
    repositories = request.app[REPOSITORIES]
    # At once: each takes several turns of the loop, and a turn takes long if there is much to do.
    health = repositories.health()
    outcomes = await asyncio.gather(*(_outcome(check()) for check in health.values()))
    checks = dict(zip(health, outcomes, strict=True)) | {
        "sweeper": _sweeper(request),
        "lifecycle": "stopping" if request.app[LIFECYCLE].stopping else "ok",
    }
    ready = all(check == "ok" for check in checks.values())
    webhooks = request.app[WEBHOOKS].note()
    report = Health(
        "ok" if ready else "unavailable",
        checks,
        notes=tuple(note for note in (*repositories.notes(), webhooks) if note is not None),
        **{repositories.engine: repositories.engine_version},
    )
    return json_response(report, status=200 if ready else 503)


@table.public("GET", "/metrics", operation="getMetrics", returns=str, content_type="text/plain")
async def metrics(request: web.Request) -> Response:
    """Return the metrics of the process and the database for Prometheus.

    In Prometheus' text format.
    """
    request.app[REQUESTS].flush()
    try:
        links = await request.app[REPOSITORIES].link_counts.count()
    except ServiceError:  # the other metrics matter most when the database fails
        links = None
    await request.app[WEBHOOK_METRICS].refresh()
    return raw_response(request.app[METRICS].render(links), content_type=CONTENT_TYPE_PLAIN_0_0_4)


async def _outcome(check: Awaitable[None]) -> str:
    try:
        await asyncio.wait_for(check, _CHECK_TIMEOUT)
    except TimeoutError:
        return f"no answer within {_CHECK_TIMEOUT:g} s"
    except Exception as error:  # noqa: BLE001 - any error means that the check has failed
        return describe(error)
    return "ok"


def _sweeper(request: web.Request) -> str:
    task = request.app[SWEEPER].task
    if not task.alive:
        return "not running"
    if task.failures:
        return f"the last {task.failures} passes failed"
    if time.monotonic() > task.due + _SWEEPER_LATE:
        return "late"
    return "ok"
