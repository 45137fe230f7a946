"""For operators: is the process alive, and can it do its work."""

import time
from collections.abc import Awaitable

import msgspec
from aiohttp import web

from service.context import DATABASE, LIFECYCLE, SWEEPER
from service.database import check_readable, check_writable
from service.errors import ServiceError
from service.responses import respond
from service.routing import RouteTable

table = RouteTable()

_SWEEPER_LATE = 10.0  # seconds; a pass over a great many links may take a while


class Health(msgspec.Struct, frozen=True):
    """Whether the process can do its work, and each check behind that."""

    status: str
    checks: dict[str, str]


@table.public("GET", "/livez", returns=Health)
async def livez(_request: web.Request) -> web.Response:
    """Tell that the process is alive. Touches nothing."""
    return respond(Health("ok", {}))


@table.public("GET", "/readyz", returns=Health)
@table.public("GET", "/healthz", returns=Health)
@table.public("GET", "/api/health", returns=Health)
async def readyz(request: web.Request) -> web.Response:
    """Tell whether the process can do its work; 503 and the failing checks when it can't."""
    database = request.app[DATABASE]
    checks = {
        "database_read": await _outcome(check_readable(database)),
        "database_write": await _outcome(check_writable(database)),
        "sweeper": _sweeper(request),
        "lifecycle": "stopping" if request.app[LIFECYCLE].stopping else "ok",
    }
    ready = all(check == "ok" for check in checks.values())
    return respond(Health("ok" if ready else "unavailable", checks), status=200 if ready else 503)


async def _outcome(check: Awaitable[None]) -> str:
    try:
        await check
    except ServiceError as error:
        return error.detail
    return "ok"


def _sweeper(request: web.Request) -> str:
    task = request.app[SWEEPER].task
    if task.failures:
        return f"the last {task.failures} passes failed"
    if time.monotonic() > task.due + _SWEEPER_LATE:
        return "late"
    return "ok"
