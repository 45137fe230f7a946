"""The metrics that /metrics exposes, and the values that it must never expose."""

import asyncio
import re
import shutil
import sqlite3
from asyncio.subprocess import PIPE

import pytest
from support.harness import Service
from support.metrics import scrape

from service import __version__
from service.domain.errors import UnavailableError
from service.telemetry.histogram import Histogram
from service.web.app_keys import REPOSITORIES

pytestmark = pytest.mark.own_service


async def test_requests_are_counted_by_template_and_never_by_path(service: Service) -> None:
    await service.alice.put_video()
    share_hash = (await service.alice.share())["share_hash"]
    for method in ("GET", "GET", "HEAD"):
        await service.public.call(method, f"/api/shared-reports/{share_hash}")
    await service.public.get(f"/{share_hash}/{service.alice.key}")
    metrics = await scrape(service.public)
    view = 'route="/api/shared-reports/{share_hash}"'
    requests = "shared_reports_http_requests_total"
    seconds = "shared_reports_http_request_duration_seconds"
    assert metrics[f'{requests}{{method="GET",{view},status="200"}}'] == 2
    assert metrics[f'{requests}{{method="HEAD",{view},status="200"}}'] == 1
    assert metrics[f'{requests}{{method="GET",route="-",status="404"}}'] == 1
    assert metrics[f'{seconds}_count{{method="GET",{view}}}'] == 2
    assert 0 < metrics[f'{seconds}_sum{{method="GET",{view}}}'] < 10
    body = (await service.public.get("/metrics")).body.decode()
    assert share_hash not in body
    assert str(service.alice.key)[:15] not in body
    assert service.alice.user_id not in body


async def test_unknown_methods_share_one_label(service: Service) -> None:
    for method in ("PROPFIND", "MKCOL", "REPORT"):
        assert (await service.public.call(method, "/livez")).status == 405
    metrics = await scrape(service.public)
    others = {name: value for name, value in metrics.items() if 'method="OTHER"' in name}
    assert others['shared_reports_http_requests_total{method="OTHER",route="-",status="405"}'] == 3
    assert not [name for name in metrics if "PROPFIND" in name]


async def test_metrics_count_links_by_status_and_show_the_sweepers_lag(service: Service) -> None:
    await service.alice.put_video()
    await service.alice.share()
    await service.alice.share(expires_at="2025-01-15T10:00:10")
    metrics = await scrape(service.public)
    assert metrics['shared_reports_links{status="active"}'] == 2
    assert metrics["shared_reports_sweeper_lag_seconds"] == 0
    await service.advance(15)
    metrics = await scrape(service.public)
    assert metrics['shared_reports_links{status="active"}'] == 1
    assert metrics['shared_reports_links{status="expired"}'] == 1
    assert metrics["shared_reports_sweeper_lag_seconds"] == 5
    await service.sweep()
    metrics = await scrape(service.public)
    assert metrics['shared_reports_links{status="expired"}'] == 1
    assert metrics["shared_reports_sweeper_lag_seconds"] == 0
    assert metrics["shared_reports_sweeper_deactivated_links_total"] == 1
    success = "shared_reports_sweeper_last_success_timestamp_seconds"
    async with asyncio.timeout(5):
        while success not in metrics:  # until the first pass of the task is over
            metrics = await scrape(service.public)
    assert metrics[success] > 1.7e9


@pytest.mark.engine("sqlite")
async def test_metrics_of_connections_files_and_build(service: Service) -> None:
    await service.alice.put_video()
    metrics = await scrape(service.public)
    for connection in ("reader", "read_worker", "writer"):
        label = f'{{connection="{connection}"}}'
        assert metrics[f"shared_reports_db_queue_length{label}"] == 0
        statements = metrics[f"shared_reports_db_statement_duration_seconds_count{label}"]
        assert statements >= 1
        assert metrics[f"shared_reports_db_batch_size_count{label}"] == statements
        assert metrics[f"shared_reports_db_batch_size_sum{label}"] >= statements
    assert metrics["shared_reports_database_size_bytes"] > 0
    assert metrics["shared_reports_wal_size_bytes"] > 0
    [build] = [name for name in metrics if name.startswith("shared_reports_build_info")]
    assert f'sqlite="{sqlite3.sqlite_version}"' in build
    assert f'version="{__version__}"' in build
    assert metrics["process_open_fds"] > 0


async def test_metrics_lack_only_link_counts_if_the_database_fails(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise UnavailableError("x")

    monkeypatch.setattr(service.app[REPOSITORIES].link_counts, "count", fail)
    metrics = await scrape(service.public)
    assert [name for name in metrics if name.startswith("shared_reports_db_queue_length")]
    assert not [name for name in metrics if name.startswith("shared_reports_links")]


async def test_metrics_pass_promtool(service: Service) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    await service.alice.put_video()
    body = (await service.public.get("/metrics")).body
    process = await asyncio.create_subprocess_exec(
        promtool, "check", "metrics", stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    assert await process.communicate(body) == (b"", b"")
    assert process.returncode == 0


def test_histogram_counts_a_value_on_a_bound_below_it() -> None:
    one_by_one, at_once = Histogram((1, 2.5)), Histogram((1, 2.5))
    for value in (3, 0, 1, 2.5):
        one_by_one.observe(value)
    at_once.observe_all([3, 0])
    at_once.observe_all([1, 2.5])
    for histogram in (one_by_one, at_once):
        assert histogram.buckets() == [("1", 2), ("2.5", 3), ("+Inf", 4)]
        assert histogram.sum == 6.5


async def test_metrics_labels_are_from_closed_sets(service: Service) -> None:
    await service.public.get("/api/videos/some-job")
    names = "connection|le|method|postgresql|python|result|route|sqlite|status"
    for sample in await scrape(service.public):
        labels = re.findall(r'(\w+)="', sample)
        assert all(re.fullmatch(f"{names}|version|implementation", label) for label in labels)
