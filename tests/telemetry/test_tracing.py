"""Traces, as a real receiver of OTLP over HTTP gets them."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import test_utils, web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.harness import Service, Start

from service.app import create_app
from service.config import Config
from service.domain.errors import UnavailableError
from service.telemetry.tracing import Tracing, open_tracing
from service.web.app_keys import REPOSITORIES

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{CALLER}-01"


class Collector:
    """Receives spans."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []

    async def receive(self, request: web.Request) -> web.Response:
        assert request.headers["Content-Type"] == "application/x-protobuf"
        self.requests.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response()

    def spans(self, name: str = "") -> list[Any]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
            if span.name.startswith(name)
        ]

    @property
    def text(self) -> str:
        return "".join(map(str, self.requests))


def attributes(span: Any) -> dict[str, Any]:
    values = {each.key: each.value for each in span.attributes}
    return {name: value.int_value or value.string_value for name, value in values.items()}


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.receive)
    async with test_utils.TestServer(app) as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", str(server.make_url("")))
        yield collector


def make_tracing(collector: Collector) -> Tracing:
    assert not collector.requests
    tracing = open_tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "set"})
    assert tracing is not None
    return tracing


@pytest.fixture
async def traced(collector: Collector, start: Start) -> tuple[Service, Callable[[], Any]]:
    """A traced service, and what stops it, so that its last spans are sent."""
    tracing = make_tracing(collector)
    service = await start(tracing=tracing)
    return service, service.client.close


@pytest.mark.engine("sqlite", "postgresql")
async def test_tracing_sends_spans_of_requests_look_ups_and_batches(
    collector: Collector, traced: tuple[Service, Callable[[], Any]], engine: str
) -> None:
    service, stop = traced
    await service.alice.put_video()
    link = await service.alice.share(label="a label")
    path = f"/api/shared-reports/{link['share_hash']}"
    viewed = await service.public.get(path, headers={"traceparent": PARENT, "tracestate": "k=v"})
    assert viewed.status == 200
    assert (await service.public.get(f"/{link['share_hash']}?q=secret")).status == 404
    await stop()
    template = "/api/shared-reports/{share_hash}"
    [view] = collector.spans(f"GET {template}")
    assert (view.trace_id.hex(), view.parent_span_id.hex()) == (TRACE, CALLER)
    assert view.trace_state == ""
    assert attributes(view) == {
        "http.request.method": "GET",
        "http.route": template,
        "http.response.status_code": 200,
    }
    look_up = "look-up" if engine == "sqlite" else "batch"
    [found] = [s for s in collector.spans(look_up) if s.parent_span_id == view.span_id]
    connection = "reader" if engine == "sqlite" else "lookups"
    assert attributes(found)["shared_reports.connection"] == connection
    [create] = collector.spans("POST /api/shared-reports")
    batches = [s for s in collector.spans("batch") if s.parent_span_id == create.span_id]
    writes = [attributes(s) for s in batches]
    [write] = [each for each in writes if each["shared_reports.connection"] == "writer"]
    assert write["shared_reports.batch_size"] == 1
    assert write["shared_reports.statement"]
    [missed] = collector.spans("GET -")
    assert attributes(missed)["http.response.status_code"] == 404


async def test_tracing_sends_no_secret(
    collector: Collector, traced: tuple[Service, Callable[[], Any]]
) -> None:
    service, stop = traced
    await service.alice.put_video("secret-job")
    link = await service.alice.share("secret-job", password="secret-word", label="secret-label")
    report = f"/api/shared-reports/{link['share_hash']}"
    await service.public.post(f"{report}/unlock", {"password": "secret-guess"})
    await service.public.get(f"{report}?token=secret-query")
    await service.alice.get("/api/shared-reports?label=secret-filter&secret-name=1")
    await service.alice.post("/api/shared-reports", {"video_id": "secret-nowhere"})
    await service.public.call("SECRET", "/secret-path", headers={"User-Agent": "secret-agent"})
    await stop()
    assert len(collector.spans()) > 6
    for secret in ("secret", "SECRET", link["share_hash"], str(service.alice.key)[9:], "alice"):
        assert secret not in collector.text
    assert service.alice.user_id not in collector.text


@pytest.mark.engine("sqlite", "postgresql")
async def test_tracing_links_a_batch_with_each_of_its_requests(
    collector: Collector, traced: tuple[Service, Callable[[], Any]]
) -> None:
    service, stop = traced
    await service.alice.put_video()
    await asyncio.gather(*(service.alice.share() for _ in range(8)))
    await stop()
    creates = {span.span_id: span for span in collector.spans("POST /api/shared-reports")}
    batches = [s for s in collector.spans("batch") if s.parent_span_id in creates]
    writes = [s for s in batches if attributes(s)["shared_reports.connection"] == "writer"]
    assert (
        sum(attributes(span)["shared_reports.batch_size"] for span in writes) == len(creates) == 8
    )
    for span in writes:
        for link in span.links:
            assert span.span_id in {each.span_id for each in creates[link.span_id].links}
    assert sum(len(span.links) for span in writes) == 8 - len(writes)


async def test_tracing_marks_failures_by_their_class_only(
    collector: Collector,
    traced: tuple[Service, Callable[[], Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service, stop = traced

    async def fail(*_: object, **__: object) -> None:
        raise UnavailableError("secret detail")

    monkeypatch.setattr(service.app[REPOSITORIES].link_lists, "list_all", fail)
    assert (await service.alice.get("/api/shared-reports")).status == 503
    await stop()
    [span] = collector.spans("GET /api/shared-reports")
    assert (attributes(span)["http.response.status_code"], span.status.code) == (503, 2)
    assert "secret" not in collector.text


async def test_tracing_of_a_delivery_is_one_span(collector: Collector) -> None:
    tracing = make_tracing(collector)

    async def send(status: int | None) -> SimpleNamespace:
        return SimpleNamespace(status=status)

    async def fail() -> None:
        raise UnavailableError("secret detail")

    assert (await tracing.delivery(send)(204)).status == 204
    await tracing.delivery(send)(None)
    with pytest.raises(UnavailableError):
        await tracing.delivery(fail)()
    await tracing.close()
    good, lost, bad = collector.spans("delivery")
    assert (good.status.code, good.kind) == (0, 3)
    assert attributes(good) == {"http.response.status_code": 204}
    assert (lost.status.code, attributes(lost)) == (2, {})
    assert (bad.status.code, attributes(bad)) == (2, {"error.type": "UnavailableError"})
    assert "secret" not in collector.text


async def test_tracing_keeps_to_the_decision_of_the_caller(
    collector: Collector, traced: tuple[Service, Callable[[], Any]]
) -> None:
    service, stop = traced
    unsampled = {"traceparent": PARENT.removesuffix("01") + "00"}
    assert (await service.public.get("/livez", headers=unsampled)).status == 200
    await service.public.get("/livez", headers={"traceparent": "nonsense"})
    await stop()
    [span] = collector.spans("GET /livez")
    assert span.parent_span_id == b""


async def test_tracing_that_reaches_no_collector_delays_no_stop(
    monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{unused_tcp_port}")
    tracing = open_tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "set"})
    assert tracing is not None

    async def nothing() -> None:
        pass

    await tracing.delivery(nothing)()
    async with asyncio.timeout(5):
        await tracing.close()


def test_tracing_is_off_without_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_tracing({}) is None
    assert open_tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}) is None
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)  # not installed
    assert open_tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}) is None


def test_tracing_imports_and_wraps_nothing_without_an_endpoint(config: Config) -> None:
    script = "import sys, service.cli.main; print([n for n in sys.modules if 'telemetry.' in n])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "opentelemetry" not in done.stdout
    assert "service.telemetry.tracing" in done.stdout
    handlers = [route.handler for route in create_app(config).router.routes()]
    assert {each.__qualname__ for each in handlers} == {"Middleware.wrap.<locals>.wrapped"}
