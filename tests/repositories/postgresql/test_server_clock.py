"""The server's clock decides, whatever the clock of an instance says."""

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from support.database import fetch
from support.harness import Start

from service.config import Config
from service.repositories.connect import open_repositories
from service.repositories.postgresql import access, links
from service.repositories.postgresql.link_rows import has_expired
from service.tasks.sweeper import Sweeper

pytestmark = pytest.mark.engine("postgresql")

LONG_AGO, LATER = "2000-01-01T00:00:00", "9999-01-01T00:00:00"


def server_time(seconds: float) -> str:
    """A moment from now; the tests' server runs on this machine."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    return moment.replace(tzinfo=None).isoformat(timespec="seconds")


@pytest.mark.parametrize("instance_says", [LONG_AGO, LATER])
@pytest.mark.parametrize(("seconds", "status"), [(-60, "expired"), (3600, "active")])
async def test_expiry_is_decided_by_the_server(
    start: Start, config: Config, instance_says: str, seconds: float, status: str
) -> None:
    service = await start()
    await service.alice.put_video()
    report = await service.alice.share(expires_at=LATER)
    async with open_repositories(config, lambda: instance_says, serves=False) as repositories:
        path = f"/api/shared-reports/{report['id']}"
        service.clock.seconds = 946684800.0  # long ago, so that any later expiry is accepted
        changed = await service.alice.patch(path, {"expires_at": server_time(seconds)})
        assert changed.status == 200
        view = await repositories.links.find_view(report["share_hash"], instance_says)
        access = await repositories.access.find(report["share_hash"], instance_says)
    assert view is not None
    assert access is not None
    assert (view[1], access.status) == (status, status)


@pytest.mark.parametrize("minutes", [-2, 2])
async def test_instance_whose_clock_is_wrong_shows_what_the_server_says(
    start: Start, config: Config, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + 60 * minutes)
    service = await start(config, clock=time.time)
    await service.alice.put_video()
    for seconds, status, expected in ((-60, 410, "expired"), (60, 200, "active")):
        report = await service.alice.share(expires_at=LATER)
        fetch(config.database, "UPDATE shared_reports SET expires_at = ?", server_time(seconds))
        path = f"/api/shared-reports/{report['share_hash']}"
        assert (await service.public.get(path)).status == status
        listed = (await service.alice.get("/api/shared-reports")).json
        assert listed[0]["status"] == expected


async def test_sweeper_whose_clock_is_ahead_waits_for_the_server(
    start: Start, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + 120)
    service = await start(config, clock=time.time)
    await service.alice.put_video()
    await service.alice.share(expires_at=LATER)
    await service.client.close()  # its own sweeper would take turns with ours
    fetch(config.database, "UPDATE shared_reports SET expires_at = ?", server_time(60))
    async with open_repositories(config, lambda: "", serves=False) as repositories:
        sweeper = Sweeper(repositories, time.time, Config())
        assert await sweeper.sweep_once() == 1
        assert sweeper.deactivated == 0


@pytest.mark.parametrize("max_views", [None, 2])
async def test_row_that_may_be_back_after_the_expiry_is_looked_up_again(
    start: Start,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    max_views: int | None,
) -> None:
    """The way to the server took so long that only another look-up can say."""
    service = await start(config, clock=time.time)
    await service.alice.put_video()
    report = await service.alice.share(expires_at=LATER, max_views=max_views)
    fetch(config.database, "UPDATE shared_reports SET expires_at = ?", server_time(60))
    for module in (links, access):
        late = iter([time.perf_counter() - 3600])
        clock = SimpleNamespace(perf_counter=lambda late=late: next(late, time.perf_counter()))
        monkeypatch.setattr(module, "time", clock)
    path = f"/api/shared-reports/{report['share_hash']}"
    assert (await service.public.get(path)).status == 200


def test_row_that_comes_back_after_the_expiry_shows_nothing() -> None:
    present = time.perf_counter()
    assert has_expired(None, LATER, present - 0.001)
    assert not has_expired(None, LATER, present + 60)
    assert not has_expired(None, None, None)


def test_row_is_compared_with_an_injected_clock_if_there_is_one() -> None:
    assert has_expired("2025-01-15T10:00:00", "2025-01-15T10:00:00", time.perf_counter() + 60)
    assert not has_expired("2025-01-15T09:59:59", "2025-01-15T10:00:00", time.perf_counter() - 60)
