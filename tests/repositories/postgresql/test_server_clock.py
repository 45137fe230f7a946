"""The server's clock decides, whatever the clock of an instance says."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from support.harness import Start

from service.config import Config
from service.repositories.connect import open_repositories
from service.repositories.postgresql.link_rows import has_expired

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


def test_row_that_comes_back_after_the_expiry_shows_nothing() -> None:
    present = time.perf_counter()
    assert has_expired(None, LATER, present - 0.001)
    assert not has_expired(None, LATER, present + 60)
    assert not has_expired(None, None, None)


def test_row_is_compared_with_an_injected_clock_if_there_is_one() -> None:
    assert has_expired("2025-01-15T10:00:00", "2025-01-15T10:00:00", time.perf_counter() + 60)
    assert not has_expired("2025-01-15T09:59:59", "2025-01-15T10:00:00", time.perf_counter() - 60)
