"""Traces: spans of requests, look-ups, batches and deliveries, sent by OpenTelemetry over OTLP.

Nothing of OpenTelemetry is imported, and no call is wrapped, unless ``open_tracing`` returns a
Tracing: the parts are wrapped when the application is built. A span has names from closed sets,
statuses and counts; never a share hash, a key, a query or a message of an error.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar
from weakref import WeakKeyDictionary

import structlog

from service import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanKind

P = ParamSpec("P")
T = TypeVar("T")

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SERVER_ERROR = 500
_CLOSE_TIMEOUT = 1.0  # seconds for the last spans at a stop

log = structlog.get_logger()


class _Request(Protocol):
    @property
    def method(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


class _Response(Protocol):
    @property
    def status(self) -> int: ...


class _Task(Protocol):
    """A task of a connection worker: one statement for one call or for many."""

    name: str

    def __hash__(self) -> int: ...


_R = TypeVar("_R", bound=_Request)
_S = TypeVar("_S", bound=_Response)


def open_tracing(environ: Mapping[str, str]) -> "Tracing | None":
    """Return the tracing that the environment asks for, or None.

    The SDK reads its own variables, such as ``OTEL_TRACES_SAMPLER`` and ``OTEL_SERVICE_NAME``.
    """
    if not any(environ.get(name) for name in _ENDPOINTS):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra, and slow to import
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - the same
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - the same
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - the same
    except ImportError:
        log.warning("tracing is not installed", detail="pip install 'shared-reports[otel]'")
        return None
    named = {} if environ.get("OTEL_SERVICE_NAME") else {"service.name": "shared-reports"}
    resource = Resource.create(named | {"service.version": __version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)


class Tracing:
    """Wraps the parts of the application so that their calls make spans."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry import trace  # noqa: PLC0415 - see open_tracing
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - the same
            TraceContextTextMapPropagator,
        )

        self._provider = provider
        self._tracer = provider.get_tracer("shared-reports", __version__)
        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()

    def request(
        self, route: str, handler: Callable[[_R], Awaitable[_S]]
    ) -> Callable[[_R], Awaitable[_S]]:
        """Return ``handler`` with a span for each request, a child of the caller's.

        ``route`` is the template. The caller's ``tracestate`` is left out: it may hold anything.
        """
        span_kind = self._trace.SpanKind.SERVER

        async def traced(request: _R) -> _S:
            parent = self._propagator.extract(
                {"traceparent": request.headers.get("traceparent", "")}
            )
            method = request.method if request.method in _METHODS else "_OTHER"
            attributes = {"http.request.method": method, "http.route": route}
            with self._span(f"{method} {route}", span_kind, attributes, parent) as span:
                response = await handler(request)
                span.set_attribute("http.response.status_code", response.status)
                if response.status >= _SERVER_ERROR:
                    span.set_status(self._trace.StatusCode.ERROR)
            return response

        return traced

    def look_up(self, connection: str, function: Callable[P, T]) -> Callable[P, T]:
        """Return a function that looks up by key, with a span if a request calls it."""
        span_kind, attributes = (
            self._trace.SpanKind.CLIENT,
            {"shared_reports.connection": connection},
        )

        def traced(*arguments: P.args, **options: P.kwargs) -> T:
            if not self._trace.get_current_span().is_recording():
                return function(*arguments, **options)
            with self._span("look-up", span_kind, attributes):
                return function(*arguments, **options)

        return traced

    def batches(
        self,
        connection: str,
        enqueue: Callable[..., T],
        run: Callable[..., Coroutine[Any, Any, None]],
    ) -> tuple[Callable[..., T], Callable[..., Coroutine[Any, Any, None]]]:
        """Return a worker's two steps with spans: a call joins a task, and the task runs.

        ``enqueue`` gets the task as its first argument and ``run`` as its last one. The span of a
        batch is a child of its first request's; it and the spans of the others link to each other.
        """
        requests: WeakKeyDictionary[_Task, list[Span]] = WeakKeyDictionary()
        span_kind, trace = self._trace.SpanKind.CLIENT, self._trace

        def traced_enqueue(task: _Task, *rest: Any) -> T:
            call = enqueue(task, *rest)
            span = trace.get_current_span()
            if span.is_recording():
                requests.setdefault(task, []).append(span)
            return call

        async def traced_run(*arguments: Any) -> None:
            task = arguments[-1]
            spans = requests.pop(task, None)
            if spans is None:
                await run(*arguments)
                return
            attributes = {
                "shared_reports.connection": connection,
                "shared_reports.statement": task.name,
                "shared_reports.batch_size": len(spans),
            }
            parent = trace.set_span_in_context(spans[0])
            with self._span("batch", span_kind, attributes, parent) as batch:
                for span in spans[1:]:
                    batch.add_link(span.get_span_context())
                    if span.is_recording():  # its request may have been given up
                        span.add_link(batch.get_span_context())
                await run(*arguments)

        return traced_enqueue, traced_run

    def delivery(
        self, send: Callable[P, Coroutine[Any, Any, T]]
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        """Return a function that makes one outgoing call, with a span for each.

        Its result has a ``status``, None if there was no answer. The URL is not told.
        """
        span_kind = self._trace.SpanKind.CLIENT

        async def traced(*arguments: P.args, **options: P.kwargs) -> T:
            with self._span("delivery", span_kind, {}) as span:
                reply = await send(*arguments, **options)
                status = getattr(reply, "status", None)
                if status is None:  # no answer
                    span.set_status(self._trace.StatusCode.ERROR)
                else:
                    span.set_attribute("http.response.status_code", status)
                return reply

        return traced

    @contextmanager
    def _span(
        self,
        name: str,
        kind: "SpanKind",
        attributes: Mapping[str, Any],
        parent: Any = None,  # noqa: ANN401 - a Context
    ) -> "Iterator[Span]":
        """A span that says of an error nothing but its class: a message may quote the request."""
        with self._tracer.start_as_current_span(
            name,
            parent,
            kind,
            attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(self._trace.StatusCode.ERROR)
                raise

    async def close(self) -> None:
        """Send the last spans, for at most a second: a collector that is gone delays no stop."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=shut_down, name="tracing", daemon=True).start()
        with suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), _CLOSE_TIMEOUT)
