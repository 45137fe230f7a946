"""Requests counted by method, route and status."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from service.telemetry.histogram import SECONDS, Histogram
from service.telemetry.request_log import RequestRecord

METRIC_PREFIX = "shared_reports"


class RequestCounts:
    """Requests by method and route: their statuses, and how long they took.

    Plain numbers: the metrics of prometheus_client would take several locks for every request.
    """

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str], tuple[Histogram, dict[int, int]]] = {}

    def add(self, records: Iterable[RequestRecord]) -> None:
        """Count requests. Their methods and routes must come from closed sets."""
        times: defaultdict[tuple[str, str, int], list[float]] = defaultdict(list)
        for record in records:
            times[record.method, record.route, record.status].append(record.seconds)
        for (method, route, status), all_seconds in times.items():
            known = self._routes.get((method, route))
            if known is None:
                known = self._routes[method, route] = (Histogram(SECONDS), {})
            histogram, statuses = known
            histogram.observe_all(all_seconds)
            statuses[status] = statuses.get(status, 0) + len(all_seconds)

    def collect(self) -> Iterator[Metric]:
        """The metrics of the requests counted so far."""
        requests = CounterMetricFamily(
            f"{METRIC_PREFIX}_http_requests",
            "Requests answered.",
            labels=["method", "route", "status"],
        )
        seconds = HistogramMetricFamily(
            f"{METRIC_PREFIX}_http_request_duration_seconds",
            "Seconds from a request's head to the head of its response.",
            labels=["method", "route"],
        )
        for labels, (histogram, statuses) in self._routes.items():
            seconds.add_metric(labels, histogram.buckets(), histogram.sum)
            for status, count in statuses.items():
                requests.add_metric([*labels, str(status)], count)
        yield requests
        yield seconds
