"""Metrics: numbers kept as the service runs, put into Prometheus' words when somebody asks.

Labels are route templates, methods and statuses, never a path: there are a few hundred series at
the most, and none can hold a share hash or a key.
"""

import platform
import time
from collections.abc import Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from service import __version__
from service.domain import clock
from service.domain.clock import Clock
from service.domain.links import LinkCounts, LinkState
from service.repositories.base import Repositories
from service.tasks.sweeper import Sweeper
from service.telemetry.request_counts import METRIC_PREFIX, RequestCounts


class Metrics(Collector):
    """All that ``/metrics`` shows."""

    def __init__(
        self, requests: RequestCounts, repositories: Repositories, sweeper: Sweeper, now: Clock
    ) -> None:
        self._requests = requests
        self._repositories = repositories
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
            f"{METRIC_PREFIX}_build_info", "1.", labels=["version", "python", "sqlite"]
        )
        build.add_metric(
            [__version__, platform.python_version(), self._repositories.engine_version], 1
        )
        yield build
        yield from self._requests.collect()
        yield from self._repositories.metrics()
        yield from self._collect_sweeper()
        if self._links is not None:
            yield from self._collect_links(self._links)

    def _collect_sweeper(self) -> Iterator[Metric]:
        task = self._sweeper.task
        if task.last_success is not None:
            yield GaugeMetricFamily(
                f"{METRIC_PREFIX}_sweeper_last_success_timestamp_seconds",
                "When the last pass succeeded, in Unix time.",
                time.time() - (time.monotonic() - task.last_success),
            )
        yield GaugeMetricFamily(
            f"{METRIC_PREFIX}_sweeper_failures",
            "Failed passes since the last success.",
            task.failures,
        )
        yield CounterMetricFamily(
            f"{METRIC_PREFIX}_sweeper_deactivated_links",
            "Links deactivated.",
            self._sweeper.deactivated,
        )
        yield CounterMetricFamily(
            f"{METRIC_PREFIX}_sweeper_purged_links", "Links purged.", self._sweeper.purged
        )

    def _collect_links(self, links: LinkCounts) -> Iterator[Metric]:
        states = GaugeMetricFamily(f"{METRIC_PREFIX}_links", "Links.", labels=["status"])
        for state in get_args(LinkState):
            states.add_metric([state], getattr(links, state))
        yield states
        since = links.overdue_since
        yield GaugeMetricFamily(
            f"{METRIC_PREFIX}_sweeper_lag_seconds",
            "How long the oldest expired link has been waiting to be deactivated.",
            0.0 if since is None else max(0.0, self._now() - clock.to_seconds(since)),
        )
