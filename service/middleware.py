"""What surrounds every request, in one place: its id, its log line, and the shape of its errors."""

import re
import secrets
import time

import structlog
from aiohttp import web

from service import problems
from service.context import LIFECYCLE
from service.errors import ServiceError
from service.routing import Handler

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

log = structlog.get_logger()


@web.middleware
async def surround(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request an id, turn every error into a problem document, and log one line."""
    began = time.perf_counter()
    lifecycle = request.app[LIFECYCLE]
    lifecycle.begin()
    request_id = _request_id(request)
    try:
        response = await _answer(request, handler, request_id)
    finally:
        lifecycle.end()
    if lifecycle.stopping:
        response.force_close()
    response.headers["X-Request-ID"] = request_id
    log.info(
        "request",
        method=request.method,
        route=route_of(request),
        status=response.status,
        ms=round((time.perf_counter() - began) * 1000, 2),
        request_id=request_id,
    )
    return response


async def _answer(request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
    try:
        return await handler(request)
    except ServiceError as error:
        return problems.from_error(error)
    except web.HTTPException as error:
        return problems.from_http(error)
    except Exception:
        log.exception("request failed", route=route_of(request), request_id=request_id)
        return problems.internal()


def route_of(request: web.Request) -> str:
    """The template of the request's route, never its path: a path may hold a share hash."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "-"


def _request_id(request: web.Request) -> str:
    given = request.headers.get("X-Request-ID", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
