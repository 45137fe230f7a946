"""Metrics: numbers kept as the service runs, put into Prometheus' words when somebody asks.

Labels are route templates, methods and statuses, never a path: there are a few hundred series at
the most, and none can hold a share hash or a key.
"""

import platform
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from service import __version__
from service.domain import clock
from service.domain.clock import Clock
from service.domain.models import LinkCounts, LinkState
from service.repositories.sqlite.engine.database import SQLITE_VERSION, Database, size, wal_size
from service.tasks.sweeper import Sweeper
from service.telemetry.histogram import SECONDS, Histogram
from service.telemetry.logs import RequestRecord

_PREFIX = "shared_reports"


class RequestCounts:
    """Requests by method and route: their statuses, and how long they took.

    Plain numbers, because this is done for every request; prometheus_client's own would cost it
    several locks.
    """

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str], tuple[Histogram, dict[int, int]]] = {}

    def add(self, notes: Iterable[RequestRecord]) -> None:
        """Count requests. Their methods and routes must come from closed sets."""
        times: defaultdict[tuple[str, str, int], list[float]] = defaultdict(list)
        for _, method, route, status, seconds, _, _, _ in notes:
            times[method, route, status].append(seconds)
        for (method, route, status), all_seconds in times.items():
            known = self._routes.get((method, route))
            if known is None:
                known = self._routes[method, route] = (Histogram(SECONDS), {})
            histogram, statuses = known
            histogram.observe_all(all_seconds)
            statuses[status] = statuses.get(status, 0) + len(all_seconds)

    def collect(self) -> Iterator[Metric]:
        """The metrics of what has been counted."""
        requests = CounterMetricFamily(
            f"{_PREFIX}_http_requests", "Requests.", labels=["method", "route", "status"]
        )
        seconds = HistogramMetricFamily(
            f"{_PREFIX}_http_request_duration_seconds",
            "From a request's head to its answer's.",
            labels=["method", "route"],
        )
        for labels, (histogram, statuses) in self._routes.items():
            seconds.add_metric(labels, histogram.buckets(), histogram.sum)
            for status, count in statuses.items():
                requests.add_metric([*labels, str(status)], count)
        yield requests
        yield seconds


class Metrics(Collector):
    """All that ``/metrics`` shows."""

    def __init__(
        self, requests: RequestCounts, database: Database, path: Path, sweeper: Sweeper, now: Clock
    ) -> None:
        self._requests = requests
        self._lanes = (database.reader, database.read_worker, database.writer)
        self._path = path
        self._sweeper = sweeper
        self._now = now
        self._links: LinkCounts | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self, links: LinkCounts | None) -> bytes:
        """The text for Prometheus; without the metrics of links where they can't be counted."""
        self._links = links
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        build = GaugeMetricFamily(
            f"{_PREFIX}_build_info", "1.", labels=["version", "python", "sqlite"]
        )
        build.add_metric([__version__, platform.python_version(), SQLITE_VERSION], 1)
        yield build
        yield from self._requests.collect()
        yield from self._collect_lanes()
        yield from self._collect_sweeper()
        if self._links is not None:
            yield from self._collect_links(self._links)
        yield GaugeMetricFamily(
            f"{_PREFIX}_database_size_bytes", "The database file.", size(self._path)
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}_wal_size_bytes", "The write-ahead log.", wal_size(self._path)
        )

    def _collect_lanes(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(
            f"{_PREFIX}_lane_waiting_calls", "Calls that wait for a trip.", labels=["lane"]
        )
        sizes = HistogramMetricFamily(
            f"{_PREFIX}_lane_batch_calls", "Calls that shared a trip.", labels=["lane"]
        )
        seconds = HistogramMetricFamily(
            f"{_PREFIX}_lane_trip_duration_seconds", "Trips to the database.", labels=["lane"]
        )
        for lane in self._lanes:
            waiting.add_metric([lane.name], lane.waiting)
            sizes.add_metric([lane.name], lane.batch_sizes.buckets(), lane.batch_sizes.sum)
            seconds.add_metric(
                [lane.name], lane.statement_seconds.buckets(), lane.statement_seconds.sum
            )
        yield from (waiting, sizes, seconds)

    def _collect_sweeper(self) -> Iterator[Metric]:
        task = self._sweeper.task
        if task.last_success is not None:
            yield GaugeMetricFamily(
                f"{_PREFIX}_sweeper_last_success_timestamp_seconds",
                "When the last pass succeeded, in Unix time.",
                time.time() - (time.monotonic() - task.last_success),
            )
        yield GaugeMetricFamily(
            f"{_PREFIX}_sweeper_failures", "Failed passes since the last success.", task.failures
        )
        yield CounterMetricFamily(
            f"{_PREFIX}_sweeper_rows", "Links deactivated.", self._sweeper.deactivated
        )
        yield CounterMetricFamily(
            f"{_PREFIX}_sweeper_purged_rows", "Links purged.", self._sweeper.purged
        )

    def _collect_links(self, links: LinkCounts) -> Iterator[Metric]:
        states = GaugeMetricFamily(f"{_PREFIX}_links", "Links.", labels=["state"])
        for state in get_args(LinkState):
            states.add_metric([state], getattr(links, state))
        yield states
        since = links.overdue_since
        yield GaugeMetricFamily(
            f"{_PREFIX}_sweeper_lag_seconds",
            "How long the oldest expired link has been waiting to be deactivated.",
            0.0 if since is None else max(0.0, self._now() - clock.to_seconds(since)),
        )
