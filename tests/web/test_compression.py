"""Compression of responses by Accept-Encoding."""

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from support.harness import Caller, Response, Service, segment
from support.links import LIST, fill

from service.concurrency.bounded_pool import BoundedPool
from service.domain.errors import UnavailableError
from service.web.app_keys import CONFIG, POOLS
from service.web.compression import SMALLEST
from service.web.content_negotiation import accepts_gzip

COMPRESSOBJ = zlib.compressobj
GZIP = {"Accept-Encoding": "gzip"}
PLAIN = {"Accept-Encoding": "identity"}


async def raw_get(caller: Caller, path: str, headers: dict[str, str]) -> Response:
    """A response whose body is as it came over the wire."""
    if caller.key is not None:
        headers = headers | {"Authorization": caller.key}
    session = caller.client.session
    async with session.get(
        caller.client.make_url(path), headers=headers, auto_decompress=False
    ) as response:
        return await Response.of(response)


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("", False),
        ("identity", False),
        ("gzip", True),
        ("GZIP;q=0.5", True),
        ("br, x-gzip", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0, *", False),
        ("*", True),
        ("*;q=0", False),
        ("br;q=1.0, *;q=0.1", True),
        ("gzip;q=nan", False),
        ("gzip;q=x", False),
        ("gzipped", False),
        ("deflate;q=1,\tgzip ;q=0.2", True),
    ],
)
def test_accepts_gzip_by_weight_and_wildcard(header: str, *, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


async def test_large_responses_are_compressed_if_accepted(service: Service) -> None:
    for n in range(60):
        await service.alice.put_video(f"job-{n}", video_name=f"Video {n} " + "x" * 20)
    for path in ("/api/videos", "/api/videos?limit=20", "/openapi.json", "/docs", "/metrics"):
        packed = await raw_get(service.alice, path, GZIP)
        plain = await raw_get(service.alice, path, PLAIN)
        for answer in (packed, plain):
            assert answer.headers["Vary"] == "Accept-Encoding", path
            assert int(answer.headers["Content-Length"]) == len(answer.body)
        assert packed.headers["Content-Encoding"] == "gzip"
        assert "Content-Encoding" not in plain.headers
        assert len(packed.body) < len(plain.body) / 2
        if path != "/metrics":  # it differs each time
            assert gzip.decompress(packed.body) == plain.body


async def test_small_responses_are_sent_as_they_are(service: Service) -> None:
    await service.alice.put_video()
    link = await service.alice.share()
    for path in (f"/api/shared-reports/{link['share_hash']}", "/api/videos", "/livez", "/x"):
        answer = await raw_get(service.alice, path, GZIP)
        assert len(answer.body) <= SMALLEST
        assert "Content-Encoding" not in answer.headers
        assert "Vary" not in answer.headers


async def test_head_has_the_headers_of_get(service: Service) -> None:
    packed = await raw_get(service.public, "/openapi.json", GZIP)
    head = await service.public.call("HEAD", "/openapi.json", headers=GZIP)
    for name in ("Content-Length", "Content-Encoding", "Vary"):
        assert head.headers[name] == packed.headers[name]


async def test_large_response_is_sent_plain_if_no_thread_is_free(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = BoundedPool.run

    async def reject(self: BoundedPool, *arguments: Any, **options: Any) -> Any:
        if self.name == "compression":
            raise UnavailableError("Too many calls wait for compression.")
        return await run(self, *arguments, **options)

    monkeypatch.setattr(BoundedPool, "run", reject)
    answer = await raw_get(service.public, "/openapi.json", GZIP)
    assert answer.status == 200
    assert "Content-Encoding" not in answer.headers
    assert json.loads(answer.body)["openapi"] == "3.1.0"


async def test_large_responses_are_compressed_off_the_loop(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = service.app[POOLS].compression
    submit, calls = pool.submit, list[object]()

    def record(function: Callable[[], Any]) -> Any:
        calls.append(function)
        return submit(function)

    monkeypatch.setattr(pool, "submit", record)
    await raw_get(service.public, "/openapi.json", GZIP)
    assert len(calls) == 1
    await raw_get(service.public, "/metrics", GZIP)  # less than 32 KiB
    assert len(calls) == 1


@pytest.mark.own_service
async def test_streamed_list_is_compressed_if_accepted(service: Service) -> None:
    await service.alice.put_video()
    fill(service.app[CONFIG].database, 450)
    packed = await raw_get(service.alice, LIST, GZIP)
    plain = await raw_get(service.alice, LIST, PLAIN)
    for answer in (packed, plain):
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert answer.headers["Vary"] == "Accept-Encoding"
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 5


@pytest.mark.parametrize(
    "path",
    [
        "/api/shared-reports/{}/segments",
        "/r/{}",
        "/r/{}/analysis.json",
        "/r/{}/analysis.csv",
        "/r/{}/transcript.vtt",
        "/r/{}/qr.svg",
    ],
)
async def test_responses_of_a_link_are_compressed_where_they_are_made(
    service: Service, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A thread of their own would let the link die between its last check and the response."""
    segments = [segment(n, n + 1, "transcription", content="x" * 50) for n in range(1_000)]
    await service.alice.put_video(segments=segments)
    path = path.format((await service.alice.share())["share_hash"])

    async def fail(*_: object, **__: object) -> None:
        raise AssertionError("a thread compresses the response of a link after its last check")

    monkeypatch.setattr(service.app[POOLS].compression, "run", fail)
    for _ in range(2):  # made, and kept
        packed = await raw_get(service.public, path, GZIP)
        plain = await raw_get(service.public, path, PLAIN)
        assert (packed.status, plain.status) == (200, 200)
        assert packed.headers["Content-Encoding"] == "gzip"
        assert "Content-Encoding" not in plain.headers
        assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
        assert gzip.decompress(packed.body) == plain.body
        assert len(packed.body) < len(plain.body) / 2


async def test_kept_encoding_is_no_name_of_a_module(service: Service) -> None:
    segments = [segment(n, n + 1, content="x" * 50) for n in range(100)]
    await service.alice.put_video(segments=[*segments, segment(0, 1, "gzip")])
    share_hash = (await service.alice.share())["share_hash"]
    path = f"/api/shared-reports/{share_hash}/segments"
    assert len((await service.public.get(path, headers=GZIP)).json) == 101
    one = await service.public.get(f"{path}?module=gzip", headers=PLAIN)
    assert [each["module"] for each in one.json] == ["gzip"]


async def test_streamed_list_is_compressed_in_short_steps(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.alice.put_video()
    fill(service.app[CONFIG].database, 201)
    sizes: list[int] = []

    class Recorder:
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self._compressor = COMPRESSOBJ(*arguments, **options)

        def compress(self, part: bytes) -> bytes:
            sizes.append(len(part))
            return self._compressor.compress(part)

        def flush(self) -> bytes:
            return self._compressor.flush()

    monkeypatch.setattr("service.web.compression.zlib.compressobj", Recorder)
    monkeypatch.setattr("service.web.compression._STREAMED_AT_ONCE", 10_000)
    packed = await raw_get(service.alice, LIST, GZIP)
    plain = await raw_get(service.alice, LIST, PLAIN)
    assert gzip.decompress(packed.body) == plain.body
    assert sum(sizes) == len(plain.body)
    assert max(sizes) == 10_000
