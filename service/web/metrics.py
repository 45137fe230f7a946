"""The metrics of ``/metrics``, in Prometheus' text format.

Label values come from closed sets: route templates, methods, statuses, connection names. There are
a few hundred series at most, and no label can hold a path, a share hash or an API key.
"""

import platform
import time
from collections.abc import Iterable, Iterator
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
from service.telemetry.log_sink import LogSink
from service.telemetry.request_counts import METRIC_PREFIX


class Metrics(Collector):
    """Everything that ``/metrics`` exposes. docs/operations.md lists each metric."""

    def __init__(
        self,
        collectors: Iterable[Collector],
        repositories: Repositories,
        sweeper: Sweeper,
        log_sink: LogSink,
        now: Clock,
    ) -> None:
        self._collectors = tuple(collectors)
        self._repositories = repositories
        self._sweeper = sweeper
        self._log_sink = log_sink
        self._now = now
        self._links: LinkCounts | None = None
        self._last_event: int | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self, links: LinkCounts | None, last_event: int | None) -> bytes:
        """Return the text format; without the metrics of what is None."""
        self._links, self._last_event = links, last_event
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric. The registry calls this on each scrape."""
        build = GaugeMetricFamily(
            f"{METRIC_PREFIX}_build_info",
            "Always 1; the labels name the versions.",
            labels=["version", "python", self._repositories.engine],
        )
        build.add_metric(
            [__version__, platform.python_version(), self._repositories.engine_version], 1
        )
        yield build
        for collector in self._collectors:
            yield from collector.collect()
        yield CounterMetricFamily(
            f"{METRIC_PREFIX}_log_dropped_lines",
            "Log lines dropped because standard error did not take them.",
            self._log_sink.dropped_lines,
        )
        yield from self._repositories.metrics()
        yield from self._collect_sweeper()
        if self._last_event is not None:
            yield CounterMetricFamily(
                f"{METRIC_PREFIX}_events",
                "Events written to the database, by all processes.",
                self._last_event,
            )
        if self._links is not None:
            yield from self._collect_links(self._links)

    def _collect_sweeper(self) -> Iterator[Metric]:
        task = self._sweeper.task
        if task.last_success is not None:
            yield GaugeMetricFamily(
                f"{METRIC_PREFIX}_sweeper_last_success_timestamp_seconds",
                "Unix time of the last pass that succeeded.",
                time.time() - (time.monotonic() - task.last_success),
            )
        yield GaugeMetricFamily(
            f"{METRIC_PREFIX}_sweeper_failures",
            "Failed passes since the last pass that succeeded.",
            task.failures,
        )
        yield CounterMetricFamily(
            f"{METRIC_PREFIX}_sweeper_deactivated_links",
            "Expired links that the sweeper has deactivated.",
            self._sweeper.deactivated,
        )
        yield CounterMetricFamily(
            f"{METRIC_PREFIX}_sweeper_purged_links",
            "Links that the sweeper has deleted after the retention time.",
            self._sweeper.purged,
        )
        yield CounterMetricFamily(
            f"{METRIC_PREFIX}_sweeper_purged_events",
            "Events that the sweeper has deleted because they were old.",
            self._sweeper.purged_events,
        )

    def _collect_links(self, links: LinkCounts) -> Iterator[Metric]:
        by_status = GaugeMetricFamily(
            f"{METRIC_PREFIX}_links", "Links in the database.", labels=["status"]
        )
        for status in get_args(LinkState):
            by_status.add_metric([status], getattr(links, status))
        yield by_status
        since = links.overdue_since
        yield GaugeMetricFamily(
            f"{METRIC_PREFIX}_sweeper_lag_seconds",
            "Seconds since the expiry of the oldest link that is not deactivated yet.",
            0.0 if since is None else max(0.0, self._now() - clock.to_seconds(since)),
        )
