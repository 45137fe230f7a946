"""A link is dead from ``expires_at`` on, to the second, whatever the background task is doing."""

import asyncio
import time

import pytest
from support.harness import Caller, FakeClock, Service, Start, is_problem

from service.config import Config
from service.web.app_keys import REPOSITORIES, SWEEPER

pytestmark = pytest.mark.own_service


async def is_active(caller: Caller) -> list[int]:
    return [
        each["is_active"] for each in (await caller.get("/api/videos/job-1/shared-reports")).json
    ]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2025-01-15T10:00:01", "2025-01-15T10:00:01"),
        ("2025-01-15T10:00:01Z", "2025-01-15T10:00:01"),
        ("2025-01-15T12:30:00+02:00", "2025-01-15T10:30:00"),
        ("2025-01-15T04:30:00.999999-08:00", "2025-01-15T12:30:00"),
        ("20250115T103000", "2025-01-15T10:30:00"),
        ("2025-01-15 10:30", "2025-01-15T10:30:00"),
        ("2025-01-16", "2025-01-16T00:00:00"),
        ("9999-12-31T23:59:59", "9999-12-31T23:59:59"),
        (None, None),
    ],
)
async def test_expiry_in_any_iso_8601_form_is_stored_as_utc(
    alice: Caller, given: str | None, kept: str | None
) -> None:
    await alice.put_video()
    assert (await alice.share(expires_at=given))["expires_at"] == kept


@pytest.mark.parametrize(
    "past",
    ["2025-01-15T10:00:00", "2025-01-15T10:00:00.9", "2025-01-15", "0001-01-01T00:00:00+14:00"],
)
async def test_expiry_that_is_not_in_the_future_is_rejected(alice: Caller, past: str) -> None:
    await alice.put_video()
    answer = await alice.post("/api/shared-reports", {"video_id": "job-1", "expires_at": past})
    assert is_problem(answer, 422, "invalid-request")


@pytest.mark.parametrize("suffix", ["", "/segments"])
@pytest.mark.parametrize("swept", [False, True])
async def test_link_expires_to_the_second(service: Service, suffix: str, *, swept: bool) -> None:
    await service.alice.put_video()
    report = await service.alice.share(expires_at="2025-01-15T10:01:00")
    path = f"/api/shared-reports/{report['share_hash']}{suffix}"
    await service.advance(59.999)
    if swept:
        await service.sweep()
    assert (await service.public.get(path)).status == 200
    assert await is_active(service.alice) == [1]
    await service.advance(0.001)
    if swept:
        await service.sweep()
    answer = await service.public.get(path)
    assert is_problem(answer, 410, "expired")
    assert answer.json["expired_at"] == "2025-01-15T10:01:00"
    assert "2025-01-15T10:01:00" in answer.json["detail"]
    assert await is_active(service.alice) == [0]


async def test_sweeper_changes_no_response(service: Service) -> None:
    await service.alice.put_video()
    report = await service.alice.share(expires_at="2025-01-15T10:01:00")
    path = f"/api/shared-reports/{report['share_hash']}"
    await service.advance(3600)
    before = (
        await service.public.get(path),
        await service.alice.get("/api/videos/job-1/shared-reports"),
    )
    await service.sweep()
    after = (
        await service.public.get(path),
        await service.alice.get("/api/videos/job-1/shared-reports"),
    )
    assert [each.body for each in before] == [each.body for each in after]


async def test_swept_link_stays_expired_when_the_clock_is_set_back(service: Service) -> None:
    await service.alice.put_video()
    report = await service.alice.share(expires_at="2025-01-15T10:01:00")
    await service.advance(60)
    await service.sweep()
    await service.advance(-3600)
    assert (await service.public.get(f"/api/shared-reports/{report['share_hash']}")).status == 410
    assert await is_active(service.alice) == [0]


async def test_sweeper_deactivates_all_expired_links_and_no_others(service: Service) -> None:
    await service.alice.put_video()
    await asyncio.gather(
        *(service.alice.share(expires_at="2025-01-15T10:01:00") for _ in range(450))
    )
    alive = [
        await service.alice.share(),
        await service.alice.share(expires_at="2025-01-15T11:00:00"),
    ]
    await service.advance(60)
    assert await service.app[REPOSITORIES].links.count_expired() == 450
    await service.sweep()
    assert await service.app[REPOSITORIES].links.count_expired() == 0
    assert service.app[SWEEPER].deactivated == 450
    for report in alive:
        assert (
            await service.public.get(f"/api/shared-reports/{report['share_hash']}")
        ).status == 200
    assert sum(await is_active(service.alice)) == 2


async def test_sweeper_works_in_bounded_batches(service: Service) -> None:
    await service.alice.put_video()
    await asyncio.gather(
        *(service.alice.share(expires_at="2025-01-15T10:01:00") for _ in range(201))
    )
    await service.advance(60)
    links = service.app[REPOSITORIES].links
    assert [await links.deactivate_expired(200) for _ in range(3)] == [200, 1, 0]


async def test_sweeper_runs_within_a_second_of_an_expiry(start: Start, config: Config) -> None:
    """With the real clock, and no reason to wake up but the link's own expiry."""
    service = await start(config, clock=time.time)
    await service.alice.put_video()
    expires = int(time.time()) + 2
    await service.alice.share(expires_at=time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(expires)))
    sweeper = service.app[SWEEPER]
    while not sweeper.deactivated:
        assert time.time() < expires + 1, "the sweeper is late"
        await asyncio.sleep(0.01)
    assert time.time() >= expires


async def test_sweeper_survives_its_errors(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeper = service.app[SWEEPER]
    failed = asyncio.Event()

    async def fail() -> str | None:
        failed.set()
        raise RuntimeError("broken")

    with monkeypatch.context() as broken:
        broken.setattr(service.app[REPOSITORIES].links, "next_expiry", fail)
        sweeper.task.wake()
        await failed.wait()
        answer = await service.public.get("/readyz")
        assert answer.status == 503
        assert "failed" in answer.json["checks"]["sweeper"]
    sweeper.task.wake()
    while sweeper.task.failures:
        await asyncio.sleep(0)
    assert (await service.public.get("/readyz")).status == 200


def test_fake_clock_starts_at_its_documented_time() -> None:
    assert time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(FakeClock()())) == "2025-01-15T10:00:00"
