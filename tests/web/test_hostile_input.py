"""Whatever comes in: a 4xx problem document, nothing changed, and the service goes on."""

import asyncio
import gzip
import json

import pytest
from support.harness import Caller, Service, is_problem
from support.raw import raw

POSTS = ["/api/shared-reports", "/api/keys"]


DEEP = 100_000


@pytest.fixture(autouse=True)
async def nothing_changes(service: Service) -> None:
    await service.alice.put_video()


MALFORMED = {
    "empty": b"",
    "half": b'{"video_id": "job-1"',
    "two values": b'{"video_id": "job-1"} {}',
    "single quotes": b"{'video_id': 'job-1'}",
    "NaN": b'{"video_id": NaN}',
    "UTF-16": '{"video_id": "job-1"}'.encode("utf-16"),
    "bad UTF-8": b'{"video_id": "job-\xff"}',
    "overlong UTF-8": b'{"video_id": "job-\xc0\xaf"}',
    "lone surrogate": b'{"video_id": "\\ud800"}',
    "encoded surrogate": b'{"video_id": "\xed\xa0\x80"}',
    "NUL": b'{"video_id": "job-1\\u0000"}',
    "raw NUL": b'{"video_id": "job-1\x00"}',
    "deep arrays": b"[" * 20_000 + b"]" * 20_000,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "unclosed": b"[" * 60_000,
    "noise": bytes(range(256)),
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("path", POSTS)
async def test_json_body_that_is_malformed_is_rejected(alice: Caller, path: str, name: str) -> None:
    answer = await alice.post(path, MALFORMED[name])
    # A wrong field may be met before the place where the JSON breaks.
    assert answer.status in {400, 422}
    code = "malformed-request" if answer.status == 400 else "invalid-request"
    assert is_problem(answer, answer.status, code)
    assert (await alice.get("/api/videos/job-1/shared-reports")).json == []


@pytest.mark.parametrize("name", MALFORMED)
async def test_export_that_is_malformed_json_is_rejected(alice: Caller, name: str) -> None:
    before = (await alice.get("/api/videos/job-1")).body
    for body in (
        MALFORMED[name],
        b'{"name": "x", "ignored": ' + MALFORMED[name] + b"}",
        b'{"name": "x", "segments": [{"module": "m", "start_time": 0, "end_time": 1, "metadata": '
        + MALFORMED[name]
        + b"}]}",
    ):
        answer = await alice.put("/api/videos/job-1", body)
        assert answer.status in {400, 422}, body[:80]
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert (await alice.get("/api/videos/job-1")).body == before


async def test_json_escaped_backslash_before_u0000_is_not_nul(alice: Caller) -> None:
    answer = await alice.post("/api/keys", b'{"name": "\\\\u0000"}')
    assert answer.status == 201
    assert answer.json["name"] == "\\u0000"


@pytest.mark.parametrize("path", POSTS)
async def test_body_over_64_kib_is_rejected(alice: Caller, path: str) -> None:
    answer = await alice.post(path, b" " * (64 * 2**10 + 1))
    assert is_problem(answer, 413, "too-large")


@pytest.mark.parametrize(
    ("call", "size"),
    [
        ("POST /api/keys", 64 * 2**10),
        ("PATCH /api/keys/1", 64 * 2**10),
        ("PUT /api/videos/x", 2**25),
    ],
)
async def test_body_with_an_excessive_declared_size_is_rejected_early(
    service: Service, call: str, size: int
) -> None:
    server = service.client.server
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(
        f"{call} HTTP/1.1\r\nHost: x\r\nAuthorization: {service.alice.key}\r\n"
        f"Content-Length: {size + 1}\r\n\r\n".encode()
    )
    async with asyncio.timeout(5):
        assert await reader.readline() == b"HTTP/1.1 413 Request Entity Too Large\r\n"
    writer.close()
    await writer.wait_closed()


async def test_body_of_undeclared_size_is_rejected_over_the_limit(alice: Caller) -> None:
    async def chunks() -> object:
        for _ in range(100):
            yield b" " * 1024

    answer = await alice.post("/api/keys", data=chunks())
    assert is_problem(answer, 413, "too-large")


async def test_export_may_have_at_most_32_mib(alice: Caller) -> None:
    body = b'{"name": "x"}'
    size = 32 * 2**20
    assert (await alice.put("/api/videos/job-2", body + b" " * (size - len(body)))).status == 201
    answer = await alice.put("/api/videos/job-2", body + b" " * (size + 1 - len(body)))
    assert is_problem(answer, 413, "too-large")


async def test_compressed_body_is_limited_by_its_unpacked_size(alice: Caller) -> None:
    bomb = gzip.compress(b" " * 2**24)
    answer = await alice.post("/api/keys", bomb, headers={"Content-Encoding": "gzip"})
    assert is_problem(answer, 413, "too-large")
    answer = await alice.post("/api/keys", b"no gzip", headers={"Content-Encoding": "gzip"})
    assert is_problem(answer, 400, "malformed-request")


PATHS = [
    "/api/shared-reports/%FF%FE",
    "/api/shared-reports/%00",
    "/api/shared-reports/%ED%A0%80",
    "/api/shared-reports/%zz",
    "/api/shared-reports/%",
    "/api/shared-reports/%2e%2e%2f%2e%2e",
    "/api/shared-reports/" + "A" * 4000,
    "/api/shared-reports/AAAAAAAAAAAAAAAA%27%20OR%201=1--",
    "/api/shared-reports/AAAA/segments?module=%FF",
    "/api/shared-reports/AAAA/segments?module=%00",
    "/api/shared-reports/AAAA/segments?module=%ED%A0%80",
]


@pytest.mark.parametrize("path", PATHS)
async def test_path_that_is_malformed_is_not_found(service: Service, path: str) -> None:
    answer = await raw(
        service, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer.startswith(b"HTTP/1.1 404 "), answer[:100]
    assert b"application/problem+json" in answer


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_job_id_or_query_that_is_malformed_is_a_client_error(
    service: Service, method: str, path: str
) -> None:
    path = path.replace("shared-reports/", "videos/")
    answer = await raw(
        service,
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {service.alice.key}\r\n"
        "Content-Length: 2\r\nConnection: close\r\n\r\n{}".encode(),
    )
    assert answer[9:12] in {b"400", b"404", b"422", b"405"}, answer[:100]
    assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"POST /api/keys HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_malformed_http_is_answered_400_and_not_logged(
    service: Service, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await raw(service, request_ + b"\r\n\r\n")
    assert answer[8:13] == b" 400 ", answer[:80]
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json" in head
    assert b"Server: shared-reports" in head
    assert json.loads(body) == {
        "type": "urn:shared-reports:problem:bad-request",
        "title": "Bad Request",
        "status": 400,
        "detail": "This is not a request that HTTP allows.",
    }
    assert caplog.records == []  # or anyone could fill the log
    assert (await service.public.get("/livez")).status == 200


async def test_chunk_that_is_malformed_is_a_client_error(service: Service) -> None:
    answer = await raw(
        service,
        f"POST /api/keys HTTP/1.1\r\nHost: x\r\nAuthorization: {service.alice.key}\r\n"
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n".encode(),
    )
    assert answer[8:13] == b" 400 ", answer[:100]


HOSTS = ['"><script>alert(1)</script>', "a b", "a/b", "a@b", "\u00e9", "[::1", "a:b", "", "a\\b"]
HOSTS += ["a" * 256, "a" * 4000, "a:65536", "a:99999", "[1.2.3.4]", "[:::]", "[1::2::3]"]


ASKS_FOR_THE_ADDRESS = {
    "a browser is sent to the page": "GET /api/shared-reports/{} HTTP/1.1\r\nAccept: text/html",
    "a QR code": "GET /r/{}/qr.svg HTTP/1.1",
    "the documentation": "GET /docs HTTP/1.1",
    "a new link": "POST /api/shared-reports HTTP/1.1\r\nContent-Length: 21",
}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("name", ASKS_FOR_THE_ADDRESS)
async def test_host_that_is_invalid_enters_no_link(service: Service, name: str, host: str) -> None:
    share_hash = (await service.alice.share())["share_hash"]
    answer = await raw(
        service,
        f"{ASKS_FOR_THE_ADDRESS[name].format(share_hash)}\r\nHost: {host}\r\n"
        f"Authorization: {service.alice.key}\r\nConnection: close\r\n\r\n"
        '{"video_id": "job-1"}'.encode(),
    )
    assert answer[8:13] == b" 400 ", answer[:100]
    assert b"application/problem+json" in answer
    assert b"script" not in answer
    assert len((await service.alice.get("/api/videos/job-1/shared-reports")).json) == 1


@pytest.mark.parametrize(
    "host", ["shared_reports:8080", "[::1]:80", "xn--bcher-kva.example", "a" * 255 + ":65535"]
)
async def test_host_that_is_valid_enters_the_link(service: Service, host: str) -> None:
    await service.alice.put_video()
    answer = await service.alice.post(
        "/api/shared-reports", {"video_id": "job-1"}, headers={"Host": host}
    )
    assert answer.headers["Location"].startswith(f"http://{host}/api/")
    docs = (await service.public.get("/docs", headers={"Host": host})).body
    assert f"http://{host}/api/".encode() in docs
    assert b".invalid" not in docs


@pytest.mark.parametrize("length", [17, 1000, 3500, 7000])
async def test_qr_code_of_an_overlong_path_is_not_found(service: Service, length: int) -> None:
    assert (await service.public.get(f"/r/{'A' * length}/qr.svg")).status == 404


SMUGGLING = [
    "Content-Length: 2\r\nContent-Length: 3",
    "Content-Length: 2\r\nContent-Length: 2",
    "Content-Length: 2, 3",
    "Content-Length: +2",
    "Content-Length: 0x2",
    "Content-Length: 2\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 2",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: identity\r\nContent-Length: 2",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding:\x0bchunked",
    "Content-Length: 2\r\n Transfer-Encoding: chunked",
    "Host: y\r\nContent-Length: 2",
]


@pytest.mark.parametrize("headers", SMUGGLING)
async def test_request_smuggling_is_rejected(service: Service, headers: str) -> None:
    """Two that read the same bytes may not come to different requests: it is none at all."""
    answer = await raw(
        service,
        f"POST /api/keys HTTP/1.1\r\nHost: x\r\nAuthorization: {service.alice.key}\r\n{headers}"
        "\r\n\r\n{}GET /livez HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    )
    assert answer[8:13] == b" 400 ", answer[:100]
    assert b"application/problem+json" in answer
    assert answer.count(b"HTTP/1.") == 1


async def test_expect_header_that_is_unknown_is_answered_417(service: Service) -> None:
    answer = await raw(
        service,
        b"POST /api/keys HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\nContent-Length: 2\r\n\r\n{}",
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head[8:13] == b" 417 "
    assert b"Content-Type: application/problem+json" in head
    assert json.loads(body)["type"] == "urn:shared-reports:problem:expectation-failed"


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "frob", ""])
async def test_content_encoding_that_is_unknown_is_rejected(alice: Caller, encoding: str) -> None:
    answer = await alice.post(
        "/api/keys", {"name": "ci"}, headers={"Content-Encoding": encoding}, compress=False
    )
    assert answer.status == 400, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert len((await alice.get("/api/keys")).json) == 1


@pytest.mark.parametrize("encoding", ["gzip", "GZIP"])
async def test_compressed_body_is_accepted(alice: Caller, encoding: str) -> None:
    body = gzip.compress(b'{"name": "ci"}')
    answer = await alice.post("/api/keys", body, headers={"Content-Encoding": encoding})
    assert answer.status == 201
