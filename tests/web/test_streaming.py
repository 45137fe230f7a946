"""Whole lists: the same bytes as one page would have, sent in parts, never cut off unseen."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientPayloadError
from aiohttp.test_utils import make_mocked_request
from support.harness import Service
from support.links import LIST, fill
from support.metrics import scrape
from support.raw import raw
from support.statements import Statements

from service.aiohttp_ext.streaming import StreamingResponse
from service.domain.errors import UnavailableError
from service.web.app_keys import CONFIG, REPOSITORIES

pytestmark = pytest.mark.own_service

COUNT = 450


@pytest.fixture
async def hashes(service: Service) -> list[str]:
    """The hashes of a video's links, newest first."""
    await service.alice.put_video()
    return fill(service.app[CONFIG].database, COUNT)[::-1]


async def test_whole_list_is_sent_in_parts(
    service: Service, hashes: list[str], engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements = Statements(monkeypatch)
    answer = await service.alice.get(LIST)
    assert [each["share_hash"] for each in answer.json] == hashes
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in answer.headers
    assert answer.headers["X-Request-ID"]
    looked = statements.results("list a video's links")
    counts = [result[0][1] if engine == "sqlite" else len(result) for result in looked]
    assert counts == [201, 201, 50]
    parts = [
        (await service.alice.get(f"{LIST}?limit=200{cursor}")).body[1:-1]
        for cursor in ("", *await cursors(service))
    ]
    assert answer.body == b"[" + b",".join(parts) + b"]"


async def cursors(service: Service) -> list[str]:
    """The parameter of the second and the third page."""
    found: list[str] = []
    for _ in range(2):
        link = (await service.alice.get(f"{LIST}?limit=200{''.join(found[-1:])}")).headers["Link"]
        found.append(f"&cursor={link.partition('cursor=')[2][:12]}")
    return found


@pytest.mark.parametrize("count", [0, 1, 199, 200])
async def test_whole_list_of_one_page_has_a_length(service: Service, count: int) -> None:
    await service.alice.put_video()
    hashes = fill(service.app[CONFIG].database, count)[::-1]
    answer = await service.alice.get(LIST, headers={"Accept-Encoding": "identity"})
    assert [each["share_hash"] for each in answer.json] == hashes
    assert answer.headers["Content-Length"] == str(len(answer.body))


async def test_whole_list_of_videos_is_sent_in_parts(service: Service) -> None:
    for number in range(201):
        await service.alice.put_video(str(number))
    answer = await service.alice.get("/api/videos")
    assert [each["job_id"] for each in answer.json] == [str(n) for n in reversed(range(201))]
    assert answer.headers["Transfer-Encoding"] == "chunked"


@pytest.mark.usefixtures("hashes")
async def test_whole_list_answers_head_without_a_body(service: Service) -> None:
    for _ in range(2):  # on the same connection
        answer = await service.alice.call("HEAD", LIST)
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["Transfer-Encoding"] == "chunked"
    requests = await scrape(service.public)
    head = 'method="HEAD",route="/api/videos/{job_id}/shared-reports",status="200"'
    assert requests[f"shared_reports_http_requests_total{{{head}}}"] == 2


async def test_whole_list_keeps_the_connection(service: Service, hashes: list[str]) -> None:
    request = f"GET {LIST} HTTP/1.1\r\nHost: x\r\nAuthorization: {service.alice.key}\r\n"
    answer = await raw(service, f"{request}\r\n{request}Connection: close\r\n\r\n".encode())
    assert answer.count(b"HTTP/1.1 200 OK") == answer.count(b"\r\n0\r\n\r\n") == 2
    assert answer.count(hashes[-1].encode()) == 2


async def test_whole_list_for_http_1_0_ends_with_the_connection(
    service: Service, hashes: list[str]
) -> None:
    request = f"GET {LIST} HTTP/1.0\r\nAuthorization: {service.alice.key}\r\n\r\n"
    head, _, body = (await raw(service, request.encode())).partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert b"Content-Length" not in head
    assert [each["share_hash"] for each in json.loads(body)] == hashes


@pytest.mark.usefixtures("hashes")
@pytest.mark.parametrize(("error", "status"), [(UnavailableError("x"), 503), (OSError("x"), 500)])
async def test_whole_list_that_fails_is_cut_off(
    service: Service, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    lists = service.app[REPOSITORIES].link_lists
    list_for_video = lists.list_for_video

    async def fail_on_second_page(*arguments: Any, **fields: Any) -> Any:
        if pages:
            raise error
        pages.append(await list_for_video(*arguments, **fields))
        return pages[0]

    pages: list[Any] = []
    monkeypatch.setattr(lists, "list_for_video", fail_on_second_page)
    with pytest.raises((ClientPayloadError, ConnectionError)):
        await service.alice.get(LIST)
    monkeypatch.undo()
    requests = await scrape(service.public)
    get = f'method="GET",route="/api/videos/{{job_id}}/shared-reports",status="{status}"'
    assert requests[f"shared_reports_http_requests_total{{{get}}}"] == 1
    assert len((await service.alice.get(LIST)).json) == COUNT


async def test_streaming_response_asks_for_a_part_when_the_last_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client's speed bounds what is in memory."""
    asked: list[int] = []

    async def parts() -> AsyncIterator[bytes]:
        for number in range(3):
            asked.append(number)
            yield b"x" * 70_000

    request = make_mocked_request("GET", "/")
    may_write = asyncio.Semaphore(0)

    async def write(_data: bytes) -> None:
        await may_write.acquire()

    monkeypatch.setattr(request.writer, "write", write)
    sending = asyncio.create_task(StreamingResponse(parts(), "text/plain").stream(request))
    for expected in ([], [0], [0, 1], [0, 1, 2]):
        for _ in range(5):
            await asyncio.sleep(0)
        assert asked == expected
        may_write.release()
    await sending
