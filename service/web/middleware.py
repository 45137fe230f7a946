"""What surrounds every request, in one place: its id, its errors' shape, its count, its log line.

This runs for each of tens of thousands of requests a second, so it does no work twice.
"""

import random
import re
import time
from collections.abc import Mapping
from http import HTTPStatus

import structlog
from aiohttp import hdrs, web
from multidict import istr

from service.aiohttp_ext.response import Response
from service.config import TrustedProxies
from service.domain.errors import ServiceError
from service.telemetry.request_log import RequestRecorder
from service.web import problems
from service.web.authentication import apply_guess_limit
from service.web.lifecycle import Lifecycle
from service.web.proxies import client_address
from service.web.routing import Handler

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


class Middleware:
    """What stands around each route's handler.

    It is put there when the routes are made and not as a middleware of aiohttp's, which would
    come with another wrapper around it, and look for a template that is known here already.
    """

    def __init__(
        self, trusted: TrustedProxies | None, lifecycle: Lifecycle, requests: RequestRecorder
    ) -> None:
        self._trusted = trusted
        self._lifecycle = lifecycle
        self._requests = requests

    def wrap(self, route: str, handler: Handler) -> Handler:
        """``handler`` with all that surrounds it.

        ``route`` is the template that the log and the metrics show, never a path: a path may hold
        a share hash.
        """
        trusted, lifecycle, note = self._trusted, self._lifecycle, self._requests.record

        async def wrapped(request: web.Request) -> Response:
            began = time.perf_counter()
            request_id, trace_id = _request_ids(request.headers)
            lifecycle.begin()
            try:
                try:
                    answer = await handler(request)
                except Exception as error:  # noqa: BLE001 - logged where it is a fault of ours
                    answer = _error_response(request, error, route, request_id, trace_id)
                if lifecycle.stopping:
                    answer.force_close()
                answer.request_id = request_id
                method = request.method
                note(
                    (
                        time.time(),
                        method if method in hdrs.METH_ALL else "OTHER",
                        route,
                        answer.status,
                        time.perf_counter() - began,
                        client_address(request, trusted),
                        request_id,
                        trace_id,
                    )
                )
            finally:
                lifecycle.end()
            return answer

        return wrapped


def _error_response(
    request: web.Request, error: Exception, route: str, request_id: str, trace_id: str | None
) -> Response:
    if isinstance(error, ServiceError):
        return problems.from_error(apply_guess_limit(request, error))
    if isinstance(error, web.HTTPException):
        return problems.from_status(error.status, error.headers)
    names = {"request_id": request_id} | ({"trace_id": trace_id} if trace_id else {})
    log.error("request failed", **names, route=route, exc_info=error)
    return problems.from_status(HTTPStatus.INTERNAL_SERVER_ERROR)


def _request_ids(headers: Mapping[str, str]) -> tuple[str, str | None]:
    """The request's id, the caller's own where it is fit, and its trace if it has one."""
    given = headers.get(_REQUEST_ID_HEADER)
    if given is None or not _REQUEST_ID.fullmatch(given):
        given = f"{random.getrandbits(64):016x}"
    trace = headers.get(_TRACE_HEADER)
    if trace is None or not (found := _TRACEPARENT.fullmatch(trace)):
        return given, None
    return given, found[1]
