"""Bodies: packed ones are unpacked for callers with a key only, bounded and off the loop."""

import asyncio
import gzip
import threading
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.compression_utils import ZLibDecompressor
from support.harness import Caller, Service, is_problem
from support.raw import exchange

from service.concurrency.bounded_pool import BoundedPool
from service.domain.platform_export import read_export
from service.web import request_body
from service.web.app_keys import BODY_MEMORY
from service.web.body_memory import BodyMemory


@pytest.fixture(autouse=True)
async def video(service: Service) -> None:
    await service.alice.put_video()


BOMB = gzip.compress(bytes(2**20))


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n",
        b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Encoding: deflate\r\n",
        b"GET /docs HTTP/1.1\r\nHost: x\r\nContent-Encoding: br\r\n",
        b"PUT /api/videos/x HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n",
        b"POST /api/shared-reports/x/unlock HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n",
    ],
)
@pytest.mark.parametrize("body", [BOMB, b"junk"])
async def test_body_without_a_key_is_never_unpacked(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    request_: bytes,
    body: bytes,
) -> None:
    unpacked: list[bytes] = []
    monkeypatch.setattr(request_body, "_unpack", lambda *given: unpacked.append(given[0]))
    monkeypatch.setattr(
        ZLibDecompressor, "decompress_sync", lambda _, data, **__: unpacked.append(data)
    )
    answer, logs = await exchange(
        service,
        request_ + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body,
    )
    assert answer.startswith(b"HTTP/1.1 ")
    assert (unpacked, logs, caplog.records) == ([], [], [])


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_body_that_is_packed_needs_a_key(service: Service, encoding: str) -> None:
    link = await service.alice.share(password="open sesame")
    path = f"/api/shared-reports/{link['share_hash']}/unlock"
    headers = {"Content-Encoding": encoding}
    body = gzip.compress(b'{"password": "open sesame"}')
    assert is_problem(
        await service.public.post(path, body, headers=headers), 400, "malformed-request"
    )
    assert (await service.public.post(path, {"password": "open sesame"})).status == 200


def deflate(body: bytes, window: int) -> bytes:
    stream = zlib.compressobj(wbits=window)
    return stream.compress(body) + stream.flush()


EXPORT = b'{"name": "packed"}'
PACKED = {
    "gzip": ("gzip", gzip.compress(EXPORT)),
    "two members": ("gzip", gzip.compress(EXPORT[:5]) + gzip.compress(EXPORT[5:])),
    "deflate": ("deflate", deflate(EXPORT, 15)),
    "deflate without a header": ("deflate", deflate(EXPORT, -15)),
}


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("chunked", [False, True])
async def test_export_may_come_packed(
    alice: Caller, monkeypatch: pytest.MonkeyPatch, name: str, *, chunked: bool
) -> None:
    threads: list[int] = []
    decompressobj = zlib.decompressobj

    def decompressobj_of(window: int) -> Any:
        threads.append(threading.get_ident())
        return decompressobj(window)

    monkeypatch.setattr(zlib, "decompressobj", decompressobj_of)
    encoding, body = PACKED[name]
    answer = await alice.call(
        "PUT",
        "/api/videos/job-3",
        data=chunks_of(body) if chunked else body,
        headers={"Content-Encoding": encoding},
        compress=False,
    )
    assert (answer.status, answer.json["name"]) == (201, "packed")
    assert threads
    assert threading.get_ident() not in threads


async def chunks_of(body: bytes) -> AsyncIterator[bytes]:
    for byte in body:
        yield bytes([byte])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (gzip.compress(EXPORT)[:-1], 400),
        (gzip.compress(EXPORT) + b"junk", 400),
        (gzip.compress(b"") * 1000, 400),
        (b"", 400),
        (EXPORT, 400),
        (gzip.compress(bytes(2**25 + 1)), 413),
        (gzip.compress(gzip.compress(EXPORT)), 400),
    ],
    ids=["cut off", "junk behind", "members", "empty", "plain", "bomb", "twice"],
)
async def test_export_that_does_not_unpack_is_rejected(
    alice: Caller, body: bytes, status: int
) -> None:
    answer = await alice.put("/api/videos/job-3", body, headers={"Content-Encoding": "gzip"})
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (await alice.get("/api/videos/job-3")).status == 404


async def test_large_bodies_in_memory_are_bounded_for_a_user_and_in_sum(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = BodyMemory(total_max=300_000, user_max=200_000)
    monkeypatch.setitem(service.app._state, BODY_MEMORY, memory)
    server = service.client.server
    writers = []
    for caller, size in ((service.alice, 150_000), (service.bob, 140_000)):
        _, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(
            f"PUT /api/videos/x HTTP/1.1\r\nHost: x\r\nAuthorization: {caller.key}\r\n"
            f"Content-Length: {size + 1}\r\n\r\n".encode()
            + b" " * size
        )
        writers.append(writer)
    async with asyncio.timeout(5):
        while memory.total < 290_000:
            await asyncio.sleep(0.01)
    large = EXPORT + b" " * 70_000
    for caller in (service.alice, service.bob):
        answer = await caller.put("/api/videos/y", large)
        assert is_problem(answer, 503, "unavailable")
    writers[0].transport.abort()
    async with asyncio.timeout(5):
        while memory.total > 140_000:
            await asyncio.sleep(0.01)
    assert (await service.alice.put("/api/videos/y", large)).status == 201
    writers[1].transport.abort()
    async with asyncio.timeout(5):
        while memory.total:
            await asyncio.sleep(0.01)


async def test_form_of_many_fields_is_rejected(service: Service) -> None:
    link = await service.alice.share(password="secret")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    path = f"/r/{link['share_hash']}"
    answer = await service.public.post(path, b"password=secret" + b"&a=b" * 100, headers=form)
    assert is_problem(answer, 400, "malformed-request")
    assert "100 fields" in answer.json["detail"]
    answer = await service.public.post(path, b"password=secret" + b"&a=b" * 99, headers=form)
    assert answer.status == 303


async def test_large_body_is_made_whole_in_a_thread(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[object, int]] = []
    submit = BoundedPool.submit

    def submitted(pool: BoundedPool, function: Any) -> Any:
        ran.append((function.func, len(function.args[0])))
        return submit(pool, function)

    monkeypatch.setattr(BoundedPool, "submit", submitted)
    body = b'{"name":"x","status":"queued"}' + b" " * 2**20
    assert (await service.alice.put("/api/videos/large", body)).status == 201
    assert ran == [(bytes, len(body)), (read_export, len(body))]
