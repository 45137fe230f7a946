"""An instance dies in the middle of its work: another one finishes it."""

import signal
from pathlib import Path

import pytest
from support.database import DatabaseSetting, fetch
from support.harness import Service
from support.process import await_true, serving

from service.web.app_keys import REPOSITORIES, SWEEPER

pytestmark = pytest.mark.engine("postgresql")

COUNT = 60_000


@pytest.mark.timeout(120)
async def test_sweep_of_an_instance_that_was_killed_is_finished_by_another(
    service: Service, folder: Path, database: DatabaseSetting
) -> None:
    await service.alice.put_video()
    fetch(
        database,
        "INSERT INTO shared_reports (user_id, video_id, share_hash, created_at, expires_at)"
        " SELECT user_id, id, 'x' || number, created_at, ? FROM videos,"
        f" generate_series(1, {COUNT}) AS number",
        "2025-01-01T00:00:00",
    )

    def left() -> int:
        [(count,)] = fetch(database, "SELECT count(*) FROM shared_reports WHERE is_active")
        return int(count)

    def has_a_sweep() -> bool:
        return bool(fetch(database, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"))

    with serving(folder) as instance:
        await_true(lambda: left() < COUNT, "the first batch")
        instance.stop(signal.SIGKILL)
    assert left() > 0, "the kill met no sweep"
    await_true(lambda: not has_a_sweep(), "the server has seen that the instance is gone")
    await service.sweep()
    assert left() == 0
    assert 0 < service.app[SWEEPER].deactivated < COUNT
    assert await service.app[REPOSITORIES].links.count_expired() == 0
