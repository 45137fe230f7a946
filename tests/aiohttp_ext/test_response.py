"""An answer on the wire, byte by byte: it is put together here and not by aiohttp."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp.test_utils import make_mocked_request
from support.harness import Service, segment

from service.aiohttp_ext.response import json_response


@dataclass(frozen=True)
class Raw:
    """What came over the wire."""

    line: str
    headers: dict[str, str]
    body: bytes


class Connection:
    """A connection on which requests are written by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, request: str, *, has_body: bool = True) -> Raw:
        self.writer.write(request.encode() + b"\r\n\r\n")
        return await self.answer(has_body=has_body)

    async def answer(self, *, has_body: bool = True) -> Raw:
        async with asyncio.timeout(5):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().splitlines()[:-1]
            headers = dict(each.split(": ", 1) for each in head[1:])
            length = int(headers["Content-Length"]) if has_body else 0
            return Raw(head[0], headers, await self.reader.readexactly(length))

    async def is_closed(self) -> bool:
        async with asyncio.timeout(5):
            return await self.reader.read() == b""


@pytest.fixture
async def connection(service: Service) -> AsyncIterator[Connection]:
    server = service.client.server
    reader, writer = await asyncio.open_connection(server.host, server.port)
    yield Connection(reader, writer)
    writer.close()
    await writer.wait_closed()


async def test_connection_stays_open_between_requests(connection: Connection) -> None:
    for _ in range(2):
        answer = await connection.ask("GET /livez HTTP/1.1\r\nHost: x")
        assert answer.line == "HTTP/1.1 200 OK"
        assert "Connection" not in answer.headers
        assert json.loads(answer.body)["status"] == "ok"


async def test_pipelined_requests_are_answered_in_order(connection: Connection) -> None:
    for path in ("/livez", "/nowhere", "/livez"):
        connection.writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    lines = [(await connection.answer()).line for _ in range(3)]
    assert lines == ["HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found", "HTTP/1.1 200 OK"]


async def test_connection_closes_when_the_client_asks(connection: Connection) -> None:
    answer = await connection.ask("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close")
    assert answer.headers["Connection"] == "close"
    assert await connection.is_closed()


async def test_http_1_0_request_is_answered_in_http_1_0(connection: Connection) -> None:
    answer = await connection.ask("GET /livez HTTP/1.0")
    assert answer.line == "HTTP/1.0 200 OK"
    assert "Connection" not in answer.headers
    assert await connection.is_closed()


async def test_http_1_0_connection_is_kept_alive_on_request(connection: Connection) -> None:
    for _ in range(2):
        answer = await connection.ask("GET /livez HTTP/1.0\r\nConnection: keep-alive")
        assert answer.headers["Connection"] == "keep-alive"


async def test_head_response_has_the_headers_of_get(connection: Connection) -> None:
    get = await connection.ask("GET /openapi.json HTTP/1.1\r\nHost: x")
    head = await connection.ask("HEAD /openapi.json HTTP/1.1\r\nHost: x", has_body=False)
    differ = {"Date", "X-Request-ID"}
    assert head.line == get.line
    assert {k: v for k, v in head.headers.items() if k not in differ} == {
        k: v for k, v in get.headers.items() if k not in differ
    }
    assert (await connection.ask("GET /livez HTTP/1.1\r\nHost: x")).line == "HTTP/1.1 200 OK"


async def test_large_response_is_sent_whole(service: Service) -> None:
    segments = [segment(n, n + 1, content="x" * 500) for n in range(2000)]
    await service.alice.put_video(segments=segments)
    report = await service.alice.share()
    answer = await service.public.get(f"/api/shared-reports/{report['share_hash']}/segments")
    assert len(answer.body) > 2**20
    assert len(answer.json) == 2000


@pytest.mark.parametrize("target", ["*", "example.com:80"])
async def test_request_target_that_is_not_a_path_is_not_found(
    connection: Connection, target: str
) -> None:
    method = "OPTIONS" if target == "*" else "CONNECT"
    answer = await connection.ask(f"{method} {target} HTTP/1.1\r\nHost: x")
    assert answer.line == "HTTP/1.1 404 Not Found"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert json.loads(answer.body)["type"] == "urn:shared-reports:problem:not-found"
    assert await connection.is_closed()


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\0", "a\n"])
async def test_header_with_control_characters_is_rejected(value: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        await json_response({}, headers={"Location": value}).prepare(
            make_mocked_request("GET", "/")
        )
