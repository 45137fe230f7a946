"""The client of service.client, against the real service and against one that fails."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from support.docs import blocks
from support.harness import Service

from service.app import create_app
from service.client import ProblemError, SharedReports, UnreachableError
from service.config import Config
from service.domain.links import (
    NO_SETTINGS,
    CreatedLink,
    NewSharedReport,
    SharedReportChange,
    new_report,
)

REPORT = new_report("u", CreatedLink("h" * 16, 7, 1, "2025-01-15T10:00:00"), NO_SETTINGS)


async def no_pause(_seconds: float) -> None:
    await asyncio.sleep(0)


@pytest.fixture
async def reports(service: Service) -> AsyncIterator[SharedReports]:
    """A client of alice's, who has a video."""
    await service.alice.put_video()
    url = str(service.client.make_url(""))
    async with SharedReports(url, service.alice.key or "", pause=no_pause) as client:
        yield client


async def test_client_creates_views_changes_and_revokes(reports: SharedReports) -> None:
    created = await reports.create(NewSharedReport("job-1", label="press"))
    assert (created.label, created.status) == ("press", "active")
    assert (await reports.view(created.share_hash)).video.name == "Product Demo"
    changed = await reports.change(created.id, SharedReportChange(label=None, max_views=5))
    assert (changed.label, changed.max_views) == (None, 5)
    await reports.revoke(created.id)
    with pytest.raises(ProblemError) as failed:
        await reports.view(created.share_hash)
    assert (failed.value.code, failed.value.status) == ("not-found", 404)
    assert failed.value.type == "urn:shared-reports:problem:not-found"


async def test_client_lists_all_pages(reports: SharedReports) -> None:
    created = [await reports.create(NewSharedReport("job-1", label=str(n))) for n in range(5)]
    listed = [report async for report in reports.list(limit=2)]
    assert listed == created[::-1]
    assert [each.label async for each in reports.list(label="3", status="active")] == ["3"]
    with pytest.raises(ProblemError, match="wrong"):
        _ = [report async for report in reports.list(wrong="x")]


async def test_client_unlocks_protected_links(reports: SharedReports) -> None:
    link = await reports.create(NewSharedReport("job-1", password="secret", max_views=1))
    with pytest.raises(ProblemError) as failed:
        await reports.view(link.share_hash)
    assert failed.value.code == "password-required"
    token = (await reports.unlock(link.share_hash, "secret")).token
    assert await reports.view(link.share_hash, token) == await reports.view(link.share_hash, token)


async def test_client_repeats_a_create_with_one_key(reports: SharedReports) -> None:
    new = NewSharedReport("job-1", expires_at="2030-01-15")
    first = await reports.create(new, idempotency_key="once")
    assert await reports.create(new, idempotency_key="once") == first


async def test_client_says_when_a_link_expired(service: Service, reports: SharedReports) -> None:
    link = await reports.create(NewSharedReport("job-1", expires_at="2025-01-15T10:00:05"))
    await service.advance(5)
    with pytest.raises(ProblemError) as failed:
        await reports.view(link.share_hash)
    assert (failed.value.code, failed.value.expired_at) == ("expired", link.expires_at)


async def test_client_calls_over_a_unix_socket(tmp_path: Path) -> None:
    app = create_app(Config(database=tmp_path / "test.sqlite3"))
    runner = web.AppRunner(app)
    await runner.setup()
    path = tmp_path / "http.sock"
    await web.UnixSite(runner, path).start()
    async with SharedReports(f"unix:{path}", "lvz_live_wrong") as client:
        with pytest.raises(ProblemError) as failed:
            await client.create(NewSharedReport("job-1"))
    assert failed.value.code == "unauthorized"
    await runner.cleanup()


class Failing:
    """A service that answers a list of statuses; ``lost`` closes the connection in their place."""

    def __init__(self, *answers: int | str) -> None:
        self.answers = list(answers)
        self.keys: list[str | None] = []

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.keys.append(request.headers.get("Idempotency-Key"))
        await request.read()
        answer = self.answers.pop(0)
        if answer == "lost":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        status = int(answer)
        bodies = {200: {"ok": True}, 201: REPORT, 404: {"type": "urn:x:not-found", "status": 404}}
        body = msgspec.json.encode(bodies.get(status, "a proxy's page"))
        return web.Response(status=status, body=body)


CALLS: dict[str, Callable[[SharedReports], Awaitable[object]]] = {
    "create": lambda client: client.create(NewSharedReport("job-1")),
    "revoke": lambda client: client.revoke("7"),
    "view": lambda client: client.view("h" * 16),
    "change": lambda client: client.change("7", SharedReportChange(is_active=True)),
}


@pytest.mark.parametrize(
    ("call", "answers", "outcome", "sent"),
    [
        ("create", ["lost", 503, "lost", 201], None, 4),
        ("create", ["lost", "lost", "lost", "lost"], UnreachableError, 4),
        ("create", [503, 503, 503, 503], ProblemError, 4),
        ("create", [404], ProblemError, 1),
        ("create", [500], ProblemError, 1),
        ("revoke", ["lost", 404], None, 2),
        ("revoke", [503, 404], None, 2),
        ("revoke", [404], ProblemError, 1),
        ("view", ["lost"], UnreachableError, 1),
        ("view", [503], ProblemError, 1),
        ("change", ["lost"], UnreachableError, 1),
        ("change", [503], ProblemError, 1),
    ],
)
async def test_client_repeats_only_what_does_no_harm(
    call: str, answers: list[int | str], outcome: type[Exception] | None, sent: int
) -> None:
    failing = Failing(*answers)
    server = aiohttp.test_utils.RawTestServer(failing)
    await server.start_server()
    async with SharedReports(str(server.make_url("")), "key", pause=no_pause) as client:
        if outcome is None:
            await CALLS[call](client)
        else:
            with pytest.raises(outcome):
                await CALLS[call](client)
    await server.close()
    assert len(failing.keys) == sent
    assert failing.answers == []
    assert len(set(failing.keys)) == 1  # each attempt has the key of the first one


async def test_client_repeats_anything_that_was_not_sent(unused_tcp_port: int) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async with SharedReports(f"http://127.0.0.1:{unused_tcp_port}", pause=pause) as client:
        with pytest.raises(UnreachableError) as failed:
            await client.change("7", SharedReportChange(is_active=True))
    assert failed.value.nothing_sent
    assert len(pauses) == 3
    assert all(0 <= seconds <= 0.8 for seconds in pauses)


async def test_client_example_of_the_document_works(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await service.alice.put_video("a1b2c3d4")
    monkeypatch.setenv("LVZ_KEY", service.alice.key or "")
    [text, *_] = blocks("client", "python")
    address = str(service.client.make_url("")).rstrip("/")
    names: dict[str, Any] = {}
    exec(text.replace("unix:/run/shared-reports/http.sock", address), names)
    await names["share"]()
    share_hash = capsys.readouterr().out.split()[0]
    assert (await service.public.get(f"/api/shared-reports/{share_hash}")).status == 404
