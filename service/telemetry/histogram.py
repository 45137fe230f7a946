"""Numbers in buckets, as plain lists: the event loop is one thread, so nothing needs a lock."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Bounds for durations: from a single view to a wait that a client gives up."""


class Histogram:
    """Counts observations by bucket, whose upper bounds are ``bounds``, and sums them."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def observe_all(self, values: Sequence[float]) -> None:
        """Count many values, in less time than one by one."""
        in_order = sorted(values)
        before = 0
        for bucket, bound in enumerate(self.bounds):
            until = bisect_right(in_order, bound, before)
            self.counts[bucket] += until - before
            before = until
        self.counts[-1] += len(in_order) - before
        self.sum += sum(in_order)

    def buckets(self) -> list[tuple[str, float]]:
        """Each bound as Prometheus writes it, with the count of all at or below it."""
        names = [f"{bound:g}" for bound in self.bounds]
        return list(zip([*names, "+Inf"], accumulate(self.counts), strict=True))
