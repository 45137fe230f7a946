"""Odd HTTP from strangers: each gets an answer, and writes no line into the log."""

import re

import pytest
from support.harness import Service
from support.raw import exchange, raw

CLOSE = b"\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/0.9"])
@pytest.mark.parametrize("path", ["/livez", "/nowhere", "/r/AAAAAAAAAAAAAAAA"])
async def test_version_other_than_1_0_and_1_1_is_rejected(
    service: Service, version: str, path: str
) -> None:
    answer, logs = await exchange(service, f"GET {path} {version}\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 505 HTTP Version Not Supported\r\n"), answer[:80]
    assert b"\r\nConnection: close\r\n" in answer
    assert b"urn:shared-reports:problem:http-version-not-supported" in answer
    assert logs == []


@pytest.mark.parametrize("coding", ["chunked", "gzip, chunked", "identity"])
async def test_transfer_encoding_in_http_1_0_is_rejected(service: Service, coding: str) -> None:
    answer = await raw(
        service,
        f"POST /api/keys HTTP/1.0\r\nAuthorization: {service.alice.key}\r\n"
        f"Connection: keep-alive\r\nTransfer-Encoding: {coding}\r\n\r\n"
        '8\r\n{"name":\r\n4\r\n"x"}\r\n0\r\n\r\nGET /livez HTTP/1.0\r\n\r\n'.encode(),
    )
    assert answer[8:13] == b" 400 ", answer[:80]
    assert answer.count(b"HTTP/1.") == 1
    assert len((await service.alice.get("/api/keys")).json) == 1


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "TLS/1.3", "x"])
@pytest.mark.parametrize("call", ["GET /livez", "POST /api/keys", "POST /livez", "GET /nowhere"])
async def test_upgrade_is_answered_and_leaves_no_mute_connection(
    service: Service, protocol: str, call: str
) -> None:
    """What follows such a request in the same packet is lost to the parser."""
    answer, logs = await exchange(
        service,
        f"{call} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n"
        f"Authorization: {service.alice.key}\r\nContent-Length: 14\r\n\r\n"
        '{"name": "up"}GET /livez HTTP/1.1\r\nHost: x\r\n\r\n'.encode(),
    )
    expected = {"GET /livez": 200, "POST /api/keys": 201, "POST /livez": 405, "GET /nowhere": 404}
    assert answer.startswith(b"HTTP/1.1 %d " % expected[call]), answer[:80]
    assert b"\r\nConnection: close\r\n" in answer
    assert logs == []


ODD_PATHS = [
    "%0d%0a",
    "%0d%0aSet-Cookie:%20a=b",
    "%00",
    "%FF",
    "%C3%A9",
    "%E2%80%A8",
    "%zz",
    "a%2fb",
]


@pytest.mark.parametrize("path", ODD_PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_redirect_to_a_page_holds_no_raw_character(
    service: Service, method: str, path: str
) -> None:
    answer, logs = await exchange(
        service,
        f"{method} /api/shared-reports/{path} HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n"
        "Connection: close\r\n\r\n".encode(),
    )
    assert answer.startswith(b"HTTP/1.1 302 "), answer[:80]
    location = answer.partition(b"\r\nLocation: ")[2].partition(b"\r\n")[0].decode("ascii")
    assert re.fullmatch(r"http://x/r/[A-Za-z0-9%._~-]+", location), location
    assert b"\r\nSet-Cookie" not in answer
    assert logs == []
    page = await raw(
        service, f"GET {location} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )
    assert page.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\njunk",
        b"POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nCookie: share_token=\x01;;\xff=\xff\r\n\r\n",
        b"BREW /livez?%FF&%00=&&& HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://\xff/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /docs HTTP/1.1\r\nHost: \xff\r\nAccept: text/html;q=nan\r\n\r\n",
        b"POST /livez HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\njunk",
    ],
)
async def test_odd_request_is_answered_and_not_logged(
    service: Service, caplog: pytest.LogCaptureFixture, request_: bytes
) -> None:
    answer, logs = await exchange(service, request_.replace(b"\r\n\r\n", CLOSE, 1))
    assert answer.startswith(b"HTTP/1."), answer[:80]
    assert b" 500 " not in answer[:20]
    assert (logs, caplog.records) == ([], [])
