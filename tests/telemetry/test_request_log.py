"""The line of a request is JSON with exactly the record's values, whatever they hold."""

import io
import json

import msgspec
import pytest
import structlog

from service.telemetry import logs
from service.telemetry.log_sink import LogSink
from service.telemetry.request_log import RequestLog, RequestRecord

RECORD = RequestRecord(1.5, "GET", "/livez", 200, 0.001, "127.0.0.1", "a" * 16, "b" * 32)
TEXTS = ["method", "route", "client", "request_id", "trace_id"]
KEY = "lvz_live_" + "0a" * 32
HOSTILE = [
    'fe80::1%"}',
    '", "status": 500, "x": "',
    "\\",
    "a\nb\r\n",
    "\x00\x1b[31m\x7f\x85\u2028\u202e\u200b",
    "ü",
    "\udcff",
    "٣",  # a digit that is not ASCII
    " ",
]


def with_text(field: str, value: str) -> RequestRecord:
    return msgspec.structs.replace(RECORD, **{field: value})


def lines(records: list[RequestRecord], log_format: str = "json") -> list[str]:
    stream = io.StringIO()
    RequestLog(log_format, "info", LogSink(stream)).write(records)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
def test_request_log_encodes_every_text(field: str, value: str) -> None:
    record = with_text(field, value)
    [line] = lines([record])
    assert line.isprintable()
    assert json.loads(line) == {
        "timestamp": "1970-01-01T00:00:01.500Z",
        "level": "info",
        "event": "request",
        "method": record.method,
        "route": record.route,
        "status": 200,
        "ms": 1.0,
        "client": record.client,
        "request_id": record.request_id,
        "trace_id": record.trace_id,
    }


@pytest.mark.parametrize("field", TEXTS)
def test_request_log_masks_every_text(field: str) -> None:
    [line] = lines([with_text(field, f"fe80::1%{KEY}")])
    assert KEY not in line
    assert json.loads(line)[field] == f"fe80::1%{KEY[:15]}…"


@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
def test_console_log_is_inert_on_a_terminal(value: str) -> None:
    stream = io.StringIO()
    logs.configure("console", "info", LogSink(stream))
    RequestLog("console", "info", LogSink(stream)).write([with_text("client", value)])
    structlog.get_logger().error("failed", detail=value, exc_info=RuntimeError(value))
    structlog.reset_defaults()
    request, *traceback = stream.getvalue().splitlines()
    assert "request_id" in request
    assert "RuntimeError" in stream.getvalue()
    for line in (request, *traceback):
        assert line.isprintable(), ascii(line)
