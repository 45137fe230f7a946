"""The code around every handler: request id, error responses, count, log line and Date.

It runs for each of thousands of requests a second, so it does no work twice.
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
from service.aiohttp_ext.streaming import StreamingResponse
from service.concurrency.loop_turns import LoopTurns
from service.domain.clock import CachedNow
from service.domain.errors import ServiceError
from service.domain.setting_values import TrustedProxies
from service.telemetry.request_log import RequestRecord
from service.telemetry.request_recorder import RequestRecorder
from service.web import problems
from service.web.authentication import apply_guess_limit, caller_of
from service.web.compression import SMALLEST, compress, compress_stream
from service.web.cors import CorsLines
from service.web.lifecycle import Lifecycle
from service.web.proxies import client_address
from service.web.routing import Handler

# An istr is looked up among headers without being folded first.
_REQUEST_ID_HEADER = istr("X-Request-ID")
_TRACE_HEADER = istr("traceparent")
# An id goes into the log as it is, so one that contains an API key is not accepted.
_REQUEST_ID = re.compile(r"(?!.*lvz_live_)[A-Za-z0-9._-]{1,128}")
# https://www.w3.org/TR/trace-context/#traceparent-header; only a version after 00 may go on.
_TRACEPARENT = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}-(?!0+-)([0-9a-f]{32})-(?!0+-)[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)

_OK = 200  # compared as a plain int, in a third of the time
_CLIENT_CLOSED_REQUEST = 499
"""Status in the log and the metrics of a request whose client hung up before its response."""

log = structlog.get_logger()


class Middleware:
    """Wraps each route's handler.

    It wraps them when the routes are made. As a middleware of aiohttp it would come with another
    wrapper, and look for a template that is known here already.
    """

    def __init__(
        self,
        trusted: TrustedProxies | None,
        lifecycle: Lifecycle,
        requests: RequestRecorder,
        now: CachedNow,
    ) -> None:
        self._trusted = trusted
        self._lifecycle = lifecycle
        self._requests = requests
        self._now = now
        self._turns = LoopTurns()

    def wrap(self, route: str, handler: Handler, cors: CorsLines | None = None) -> Handler:
        """Return ``handler`` with its errors, log line, count and common headers.

        ``route`` is the template that the log and the metrics show, never a path: a path may hold
        a share hash. ``cors`` makes the header lines for pages of other origins.

        ``wrapped`` is one function because each further call takes 0.1 us of every request.
        """
        lifecycle, now, refresh_now = self._lifecycle, self._now, self._now.refresh
        trusted, record = self._trusted, self._requests.record
        is_link = "{share_hash}" in route
        turns = self._turns

        async def wrapped(request: web.Request) -> Response:
            start = time.perf_counter()
            refresh_now()
            request_id, trace_id = _request_ids(request.headers)
            lifecycle.begin()
            # The client may hang up: in mid-body, or before it has its response.
            status = _CLIENT_CLOSED_REQUEST
            try:
                if not turns.start():
                    await turns.wait(caller_of(request))
                    refresh_now()
                try:
                    response = await handler(request)
                except Exception as error:  # noqa: BLE001 - logged if the fault is ours
                    response = _error_response(request, error, route, request_id, trace_id)
                if len(response.body) > SMALLEST:
                    await compress(request, response, is_link=is_link)
                if cors is not None:
                    response.add_lines(cors(request))
                if lifecycle.stopping:
                    response.force_close()
                response.request_id = request_id
                status = response.status
                # No link may be shown with a Date at which it has expired already. Its row was
                # compared with the clock after the last refresh, so that moment is before.
                response.second = now.second if is_link and status == _OK else refresh_now()
                if isinstance(response, StreamingResponse):
                    status = _CLIENT_CLOSED_REQUEST
                    status = await _stream(request, response, route, request_id, trace_id)
            finally:
                if status == _CLIENT_CLOSED_REQUEST and not request.content.is_eof():
                    status = 400
                method = request.method if request.method in hdrs.METH_ALL else "OTHER"
                client, end = client_address(request, trusted), time.time()
                seconds = time.perf_counter() - start
                record(
                    RequestRecord(end, method, route, status, seconds, client, request_id, trace_id)
                )
                lifecycle.end()
            return response

        return wrapped


async def _stream(
    request: web.Request,
    response: StreamingResponse,
    route: str,
    request_id: str,
    trace_id: str | None,
) -> int:
    """Send a response. Return the status to record: of an error that cut it off, that error's."""
    compress_stream(request, response)
    try:
        await response.stream(request)
    except ConnectionError:
        return _CLIENT_CLOSED_REQUEST
    except Exception as error:  # noqa: BLE001 - logged if the fault is ours
        return _error_response(request, error, route, request_id, trace_id).status
    return response.status


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
    """Return the request's id, the caller's own if it is valid, and its trace id if it has one."""
    request_id = headers.get(_REQUEST_ID_HEADER)
    if request_id is None or not _REQUEST_ID.fullmatch(request_id):
        request_id = f"{random.getrandbits(64):016x}"
    trace = headers.get(_TRACE_HEADER)
    if trace is None or not (match := _TRACEPARENT.fullmatch(trace)):
        return request_id, None
    return request_id, match[1]
