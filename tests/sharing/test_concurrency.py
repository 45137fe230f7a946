"""Many callers at once, callers that go away, and a revocation that races its viewers."""

import asyncio
import dataclasses
import threading
from typing import Any

import pytest
from support.harness import Caller, Service, Start, segment

from service.config import Config
from service.domain.links import NO_SETTINGS, ReportWithAnalysis
from service.domain.platform_export import read_export
from service.domain.videos import Analysis
from service.web.app_keys import LINKS, REPOSITORIES


async def test_links_are_created_and_viewed_concurrently(service: Service) -> None:
    await service.alice.put_video("hers")
    await service.bob.put_video("his")
    known = [await service.alice.share("hers"), await service.bob.share("his")]

    async def view(number: int) -> str:
        share_hash = known[number % 2]["share_hash"]
        answer = await service.public.get(f"/api/shared-reports/{share_hash}")
        return str(answer.json["video"]["job_id"])

    creates = [
        service.alice.share("hers") if number % 2 else service.bob.share("his")
        for number in range(100)
    ]
    answers = await asyncio.gather(*creates, *(view(number) for number in range(100)))
    created, viewed = answers[:100], answers[100:]
    assert viewed == ["hers", "his"] * 50
    assert len({each["id"] for each in created}) == 100
    assert len({each["share_hash"] for each in created}) == 100
    for number, report in enumerate(created):
        assert report["user_id"] == (service.alice if number % 2 else service.bob).user_id
        answer = await service.public.get(f"/api/shared-reports/{report['share_hash']}")
        assert answer.json["video"]["job_id"] == ("hers" if number % 2 else "his")


async def test_batch_with_an_unknown_video_creates_the_other_links(alice: Caller) -> None:
    await alice.put_video()
    names = ["job-1", "no-such"] * 20
    answers = await asyncio.gather(
        *(alice.post("/api/shared-reports", {"video_id": name}) for name in names)
    )
    assert [each.status for each in answers] == [201, 404] * 20


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("DELETE", "", None), ("PATCH", "", {"is_active": False}), ("POST", "/rotate", None)],
)
async def test_view_fails_after_a_revocation_is_answered(
    start: Start, config: Config, method: str, path: str, body: object
) -> None:
    """100 viewers keep asking while the link is revoked; each notes when it asked."""
    service = await start(dataclasses.replace(config, lookup_rate_limit=None))
    await service.alice.put_video()
    report = await service.alice.share()
    view = f"/api/shared-reports/{report['share_hash']}"
    loop = asyncio.get_running_loop()
    revoked_at = float("inf")
    views: list[tuple[float, float, int]] = []

    async def watch() -> None:
        while loop.time() < revoked_at:
            asked = loop.time()
            status = (await service.public.get(view)).status
            views.append((asked, loop.time(), status))
        views.append((loop.time(), loop.time(), (await service.public.get(view)).status))

    async def revoke() -> None:
        nonlocal revoked_at
        while len(views) < 100:
            await asyncio.sleep(0)
        revocation = f"/api/shared-reports/{report['id']}{path}"
        answer = await service.alice.call(method, revocation, body)
        assert answer.status == 200
        revoked_at = loop.time()

    await asyncio.gather(revoke(), *(watch() for _ in range(100)))
    assert {status for asked, _, status in views if asked >= revoked_at} == {404}
    assert sum(status == 200 for _, _, status in views) >= 100
    assert {status for _, _, status in views} == {200, 404}


SLOW = [
    "/api/shared-reports/{}/segments",
    "/r/{}",
    "/r/{}/analysis.json",
    "/r/{}/analysis.csv",
    "/r/{}/transcript.vtt",
    "/r/{}/transcript.srt",
]


def hold_views(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> tuple[asyncio.Event, asyncio.Event]:
    """Hold each view after it has read a link's analysis, until it may go on."""
    has_read, go_on = asyncio.Event(), asyncio.Event()
    links = service.app[REPOSITORIES].links
    find_report = links.find_report

    async def held(share_hash: str) -> ReportWithAnalysis | None:
        report = await find_report(share_hash)
        has_read.set()
        await go_on.wait()
        return report

    monkeypatch.setattr(links, "find_report", held)
    return has_read, go_on


@pytest.mark.parametrize("path", SLOW)
@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("revoke", 404),
        ("delete the video", 404),
        ("expire", 410),
        ("switch off", 404),
        ("rotate", 404),
    ],
)
async def test_slow_view_is_not_shown_if_the_link_ends_meanwhile(
    service: Service, monkeypatch: pytest.MonkeyPatch, path: str, ending: str, status: int
) -> None:
    await service.alice.put_video()
    report = await service.alice.share(expires_at="2025-01-15T10:01:00")
    has_read, go_on = hold_views(service, monkeypatch)
    viewing = asyncio.create_task(service.public.get(path.format(report["share_hash"])))
    await has_read.wait()
    if ending == "revoke":
        ended = await service.alice.delete(f"/api/shared-reports/{report['id']}")
        assert ended.status == 200
    elif ending == "delete the video":
        assert (await service.alice.delete("/api/videos/job-1")).status == 200
    elif ending == "switch off":
        off = {"is_active": False}
        ended = await service.alice.patch(f"/api/shared-reports/{report['id']}", off)
        assert ended.status == 200
    elif ending == "rotate":
        ended = await service.alice.post(f"/api/shared-reports/{report['id']}/rotate")
        assert ended.status == 200
    else:
        await service.advance(60)
    go_on.set()
    assert (await viewing).status == status


@pytest.mark.parametrize("path", SLOW)
async def test_slow_view_shows_no_module_that_was_removed_meanwhile(
    service: Service, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    module = segment(0, 1, "transcription", content="canary")
    await service.alice.put_video(segments=[module])
    report = await service.alice.share()
    has_read, go_on = hold_views(service, monkeypatch)
    viewing = asyncio.create_task(service.public.get(path.format(report["share_hash"])))
    await has_read.wait()
    change = await service.alice.patch(f"/api/shared-reports/{report['id']}", {"modules": []})
    assert change.status == 200
    go_on.set()
    answer = await viewing
    assert answer.status == 200
    assert b"canary" not in answer.body


async def test_create_retries_a_share_hash_that_is_drawn_twice(start: Start) -> None:
    hashes = iter(["A" * 16, "A" * 16, "B" * 16, "C" * 16])
    service = await start(new_share_hash=lambda: next(hashes))
    await service.alice.put_video()
    await service.bob.put_video()
    links = service.app[LINKS]
    users = [service.alice.user_id, service.bob.user_id]
    reports = await asyncio.gather(
        *(links.create(user_id, "job-1", NO_SETTINGS) for user_id in users)
    )
    assert [report.user_id for report in reports] == users
    assert [report.share_hash for report in reports] == ["A" * 16, "B" * 16]


async def test_create_completes_for_clients_that_hang_up(
    service: Service,
) -> None:
    await service.alice.put_video()
    server = service.client.server
    for _ in range(20):
        _, writer = await asyncio.open_connection(server.host, server.port)
        body = b'{"video_id": "job-1"}'
        writer.write(
            b"POST /api/shared-reports HTTP/1.1\r\nHost: x\r\nAuthorization: "
            + str(service.alice.key).encode()
            + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
            + body
        )
        await writer.drain()
        writer.transport.abort()
    others = await asyncio.gather(*(service.alice.share() for _ in range(20)))
    assert all(each["is_active"] for each in others)
    await service.alice.share()  # creates are made in turn: those under way are done
    listed = (await service.alice.get("/api/videos/job-1/shared-reports")).json
    assert {each["id"] for each in others} <= {each["id"] for each in listed}
    for report in listed:
        answer = await service.public.get(f"/api/shared-reports/{report['share_hash']}")
        assert answer.status == 200


async def test_export_is_read_off_the_event_loop(
    alice: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    def read(*arguments: Any) -> Analysis:
        threads.append(threading.current_thread())
        return read_export(*arguments)

    monkeypatch.setattr("service.web.api.videos.read_export", read)
    await alice.put_video()
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()


async def test_export_that_is_large_does_not_block_views(service: Service) -> None:
    """Views are answered while a large export is being read and stored."""
    await service.alice.put_video()
    path = f"/api/shared-reports/{(await service.alice.share())['share_hash']}"
    segments = [
        {"module": "m", "start_time": n, "end_time": n, "metadata": {"n": n}} for n in range(50_000)
    ]
    putting = asyncio.create_task(service.alice.put_video("big", segments=segments))
    views = 0
    while not putting.done():
        assert (await service.public.get(path)).status == 200
        views += 1
    await putting
    assert views > 5
