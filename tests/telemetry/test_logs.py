"""The lines of the log: their fields, their ids, and what never reaches them."""

import asyncio
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog
from support.harness import Service, Start, database_of

from service.config import Config
from service.telemetry import logs
from service.telemetry.log_sink import LogSink
from service.web.app_keys import REPOSITORIES, REQUESTS

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where all lines go, as JSON."""
    stream = io.StringIO()
    logs.configure("json", "info", LogSink(stream))
    yield stream
    structlog.reset_defaults()


@pytest.fixture
async def logging_service(start: Start, stream: io.StringIO) -> Service:
    return await start(log_sink=LogSink(stream))


def lines(service: Service, stream: io.StringIO) -> list[dict[str, Any]]:
    service.app[REQUESTS].flush()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def request_lines(service: Service, stream: io.StringIO) -> list[dict[str, Any]]:
    """Those of requests: a slow machine may log more."""
    return [line for line in lines(service, stream) if line["event"] == "request"]


async def test_request_is_logged_as_one_line(logging_service: Service, stream: io.StringIO) -> None:
    answer = await logging_service.public.get("/api/shared-reports/AAAAAAAAAAAAAAAA?module=x")
    [line] = request_lines(logging_service, stream)
    keys = ["timestamp", "level", "event", "method", "route", "status", "ms", "client"]
    assert list(line) == [*keys, "request_id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["timestamp"])
    assert line["route"] == "/api/shared-reports/{share_hash}"
    assert (line["method"], line["status"], line["client"]) == ("GET", 404, "127.0.0.1")
    assert 0 < line["ms"] < 10_000
    assert line["request_id"] == answer.headers["X-Request-ID"]


async def test_log_line_is_written_without_another_request(
    logging_service: Service, stream: io.StringIO
) -> None:
    await logging_service.public.get("/livez")
    async with asyncio.timeout(5):
        while not stream.getvalue():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("header", "trace_id"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", TRACE),
        (f"01-{TRACE}-b7ad6b7169203331-01-more", TRACE),
        (f"00-{TRACE}-b7ad6b7169203331-01-more", None),
        (f"ff-{TRACE}-b7ad6b7169203331-01", None),
        (f"00-{TRACE.upper()}-b7ad6b7169203331-01", None),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f'00-{TRACE}-b7ad6b7169203331-01"', None),
        ("", None),
    ],
)
async def test_log_line_carries_a_valid_trace_id(
    logging_service: Service, stream: io.StringIO, header: str, trace_id: str | None
) -> None:
    await logging_service.public.get("/livez", headers={"traceparent": header})
    [line] = request_lines(logging_service, stream)
    assert line.get("trace_id") == trace_id


async def test_log_lines_of_a_request_carry_its_id(
    logging_service: Service, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError(f"/api/shared-reports/{'A' * 16} and {logging_service.alice.key}")

    monkeypatch.setattr(logging_service.app[REPOSITORIES].videos, "list_all", fail)
    headers = {"X-Request-ID": "mine", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    await logging_service.alice.get("/api/videos", headers=headers)
    failed, request = lines(logging_service, stream)
    assert list(failed)[:3] == ["timestamp", "level", "event"]
    assert (failed["event"], request["event"]) == ("request failed", "request")
    for line in (failed, request):
        assert (line["request_id"], line["trace_id"]) == ("mine", TRACE)
        assert line["route"] == "/api/videos"
    assert "RuntimeError" in failed["exception"]
    assert "A" * 16 not in stream.getvalue()
    assert str(logging_service.alice.key) not in stream.getvalue()


@pytest.mark.parametrize("given", ['x"', "a b", "ü", "", "lvz_live_" + "a" * 64, "x" * 129])
async def test_request_id_that_is_invalid_is_replaced(
    logging_service: Service, stream: io.StringIO, given: str
) -> None:
    answer = await logging_service.public.get("/livez", headers={"X-Request-ID": given})
    [line] = request_lines(logging_service, stream)
    assert re.fullmatch("[0-9a-f]{16}", line["request_id"])
    assert line["request_id"] == answer.headers["X-Request-ID"]


async def test_slow_statement_is_logged_without_its_values(
    start: Start, config: Config, stream: io.StringIO
) -> None:
    service = await start(replace(config, slow_query_seconds=0.0), log_sink=LogSink(stream))
    stream.truncate(0)
    stream.seek(0)
    await service.public.get(f"/api/shared-reports/{'A' * 16}")
    await database_of(service.app).read_worker.fetch_all("SELECT 'x'")
    ours = ["view a link", "SELECT 'x'"]  # the background tasks' are among them
    slow = [
        line
        for line in lines(service, stream)
        if line["event"] == "slow statement" and line["statement"] in ours
    ]
    assert [line["statement"] for line in slow] == ours
    assert (slow[0]["connection"], slow[0]["batch_size"], slow[0]["level"]) == (
        "reader",
        1,
        "warning",
    )
    assert "A" * 16 not in stream.getvalue()


async def test_fast_statement_is_not_logged(logging_service: Service, stream: io.StringIO) -> None:
    await logging_service.public.get(f"/api/shared-reports/{'A' * 16}")
    assert [line["event"] for line in lines(logging_service, stream)] == ["request"]


async def test_console_log_is_not_json(start: Start, config: Config) -> None:
    stream = io.StringIO()
    logs.configure("console", "info", LogSink(stream))
    service = await start(replace(config, log_format="console"), log_sink=LogSink(stream))
    await service.public.get("/livez", headers={"X-Request-ID": "mine"})
    service.app[REQUESTS].flush()
    structlog.reset_defaults()
    assert re.search(r"request +.*request_id=mine.*route=/livez", stream.getvalue())


async def test_log_level_above_info_logs_no_requests(start: Start, config: Config) -> None:
    stream = io.StringIO()
    service = await start(replace(config, log_level="warning"), log_sink=LogSink(stream))
    await service.public.get("/livez")
    service.app[REQUESTS].flush()
    assert stream.getvalue() == ""
