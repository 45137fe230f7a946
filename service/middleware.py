"""What surrounds every request, in one place: its id, its errors' shape, its count, its log line.

This runs for each of tens of thousands of requests a second, so it does no work twice.
"""

import random
import re
import time
from http import HTTPStatus

import structlog
from aiohttp import hdrs, web
from multidict import istr

from service import problems
from service.context import LIFECYCLE, REQUESTS
from service.errors import ServiceError
from service.logs import request_fields
from service.proxies import client_address
from service.routing import Handler

# Strings that a header is looked up by without being folded first.
_REQUEST_ID_HEADER = istr("X-Request-ID")
_TRACE_HEADER = istr("traceparent")
# An id goes into the log as it is, so one that holds an API key is none.
_REQUEST_ID = re.compile(r"(?!.*lvz_live_)[A-Za-z0-9._-]{1,128}")
# https://www.w3.org/TR/trace-context/#traceparent-header; only a version after 00 may say more.
_TRACEPARENT = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}-(?!0+-)([0-9a-f]{32})-(?!0+-)[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)

log = structlog.get_logger()


@web.middleware
async def surround(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request an id, turn every error into a problem document, count and log it."""
    began = time.perf_counter()
    app = request.app
    lifecycle = app[LIFECYCLE]
    fields = _fields(request)
    context = request_fields.set(fields)
    lifecycle.begin()
    try:
        response = await _answer(request, handler)
        if lifecycle.stopping:
            response.force_close()
        response.headers[_REQUEST_ID_HEADER] = fields["request_id"]
        method = request.method if request.method in hdrs.METH_ALL else "OTHER"
        route = route_of(request)
        seconds = time.perf_counter() - began
        app[REQUESTS].note(method, route, response.status, seconds, client_address(request), fields)
    finally:
        lifecycle.end()
        request_fields.reset(context)
    return response


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ServiceError as error:
        return problems.from_error(error)
    except web.HTTPException as error:
        return problems.from_status(error.status, error.headers)
    except Exception:
        log.exception("request failed", route=route_of(request))
        return problems.from_status(HTTPStatus.INTERNAL_SERVER_ERROR)


def route_of(request: web.Request) -> str:
    """The template of the request's route, never its path: a path may hold a share hash."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "-"


def _fields(request: web.Request) -> dict[str, str]:
    """The request's id, the caller's own where it is fit, and its trace if it has one."""
    headers = request.headers
    given = headers.get(_REQUEST_ID_HEADER)
    if given is None or not _REQUEST_ID.fullmatch(given):
        given = random.randbytes(8).hex()  # noqa: S311 - a name, no secret
    trace = headers.get(_TRACE_HEADER)
    if trace is not None and (found := _TRACEPARENT.fullmatch(trace)):
        return {"request_id": given, "trace_id": found[1]}
    return {"request_id": given}
