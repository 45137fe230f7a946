"""Requests whose client hangs up: their work is dropped, and their log line says so."""

import asyncio
import io
import json

import pytest
from support.harness import Service, Start

from service.domain.access import AccessRequirements
from service.telemetry.log_sink import LogSink
from service.web import request_body
from service.web.app_keys import PASSWORD_LIMITER, PASSWORDS, REPOSITORIES, REQUESTS


class Work:
    """Work that never ends, in place of a method."""

    def __init__(self) -> None:
        self.started, self.cancelled = asyncio.Event(), asyncio.Event()

    async def __call__(self, *_: object, **__: object) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def hang_up(service: Service, request: str, started: asyncio.Event) -> None:
    """Send a request, and hang up once its work has started."""
    server = service.client.server
    _, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(request.replace("\n", "\r\n").encode())
    await started.wait()
    writer.transport.abort()


async def test_request_of_a_lost_client_is_cancelled_and_logged(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    service = await start(log_sink=LogSink(stream))
    work = Work()
    monkeypatch.setattr(service.app[REPOSITORIES].videos, "segments", work)
    call = f"GET /api/videos/x/segments HTTP/1.1\nHost: x\nAuthorization: {service.alice.key}\n\n"
    async with asyncio.timeout(5):
        await hang_up(service, call, work.started)
        await work.cancelled.wait()
    await service.public.get("/livez")
    service.app[REQUESTS].flush()
    [line] = [
        line for line in map(json.loads, stream.getvalue().splitlines()) if "{" in line["route"]
    ]
    assert (line["route"], line["status"]) == ("/api/videos/{job_id}/segments", 499)


async def test_password_of_a_lost_client_is_counted_as_a_guess(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.alice.put_video()
    share_hash = (await service.alice.share(password="open sesame"))["share_hash"]
    work = Work()
    monkeypatch.setattr(service.app[PASSWORDS], "is_right", work)
    refunded: list[object] = []
    monkeypatch.setattr(service.app[PASSWORD_LIMITER], "refund", refunded.append)
    body = '{"password": "guess"}'
    call = (
        f"POST /api/shared-reports/{share_hash}/unlock HTTP/1.1\nHost: x\n"
        f"Content-Length: {len(body)}\n\n{body}"
    )
    async with asyncio.timeout(5):
        await hang_up(service, call, work.started)
        await work.cancelled.wait()
    await service.public.get("/livez")
    assert refunded == []


async def test_view_that_is_being_counted_is_counted_once_for_a_lost_client(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.alice.put_video()
    link = await service.alice.share(max_views=5)
    access = service.app[REPOSITORIES].access
    submitted = asyncio.Event()
    unlock = access.unlock

    async def tell_and_unlock(
        requirements: AccessRequirements, **options: bool
    ) -> AccessRequirements | None:
        submitted.set()
        return await unlock(requirements, **options)

    monkeypatch.setattr(access, "unlock", tell_and_unlock)
    path = f"/api/shared-reports/{link['share_hash']}"
    async with asyncio.timeout(5):
        await hang_up(service, f"GET {path} HTTP/1.1\nHost: x\n\n", submitted)
    assert (await service.public.get(path)).status == 200
    listed = (await service.alice.get("/api/shared-reports")).json
    assert listed[0]["view_count"] == 2


async def test_body_of_a_call_without_a_key_has_less_time(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert request_body.PUBLIC_BODY_TIMEOUT <= 5
    monkeypatch.setattr(request_body, "PUBLIC_BODY_TIMEOUT", 0.05)
    await service.alice.put_video()
    share_hash = (await service.alice.share(password="open sesame"))["share_hash"]
    server = service.client.server
    for path in (f"/api/shared-reports/{share_hash}/unlock", f"/r/{share_hash}"):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n".encode())
        async with asyncio.timeout(5):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"The body may take up to 0.05 s." in answer
        writer.close()
        await writer.wait_closed()
