"""The metrics of webhooks."""

from collections.abc import Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from service.domain import clock
from service.domain.clock import Clock
from service.domain.errors import ServiceError
from service.domain.webhooks import Backlog
from service.repositories.base_webhooks import WebhookQueue
from service.tasks.webhook_dispatcher import WebhookDispatcher
from service.telemetry.request_counts import METRIC_PREFIX


class WebhookMetrics(Collector):
    """The tries of this process, and the pending deliveries of the database."""

    def __init__(self, dispatcher: WebhookDispatcher, queue: WebhookQueue, now: Clock) -> None:
        self._dispatcher = dispatcher
        self._queue = queue
        self._now = now
        self._backlog: Backlog | None = None

    async def refresh(self) -> None:
        """Read the pending deliveries; without the database their metrics are left out."""
        self._backlog = None
        try:
            self._backlog = await self._queue.backlog()
        except ServiceError:
            return

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        results = CounterMetricFamily(
            f"{METRIC_PREFIX}_webhook_attempts",
            "Tries by this process: delivered, to be retried, or given up.",
            labels=["result"],
        )
        for result, count in self._dispatcher.results.items():
            results.add_metric([result], count)
        yield results
        latencies = self._dispatcher.latencies
        seconds = HistogramMetricFamily(
            f"{METRIC_PREFIX}_webhook_attempt_duration_seconds",
            "Duration of tries, from the look-up of the name to the end of the answer.",
        )
        seconds.add_metric([], latencies.buckets(), latencies.sum)
        yield seconds
        if self._backlog is None:
            return
        yield GaugeMetricFamily(
            f"{METRIC_PREFIX}_webhook_backlog",
            "Pending deliveries in the database, counted up to 10,000.",
            self._backlog.count,
        )
        oldest = self._backlog.oldest
        yield GaugeMetricFamily(
            f"{METRIC_PREFIX}_webhook_backlog_age_seconds",
            "Seconds since the oldest pending delivery was created.",
            0.0 if oldest is None else max(0.0, self._now() - clock.to_seconds(oldest)),
        )
