"""Bars of views over time, as shapes for an SVG whose width is that of the page."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.statistics import ViewBucket

HEIGHT = 150
"""Pixels of the highest bar."""

_LABELS_MAX = 6
"""Times below the bars. Every second one is left out on a phone."""
_GAP = 0.2
"""Share of a bar's place that stays empty."""


@dataclass(frozen=True, slots=True)
class Bar:
    """The views of one hour or day: by people on the page, and by programs above them."""

    bucket: ViewBucket
    x: float
    width: float
    """Percent of the width."""
    pages: float
    api: float
    """Pixels of the height."""


@dataclass(frozen=True, slots=True)
class Plot:
    """The bars of a period, and what stands beside them."""

    bars: list[Bar]
    """Those that are not empty."""
    lines: list[tuple[float, int]]
    """Heights in pixels, and the numbers of views that they stand for."""
    labels: list[tuple[float, str]]
    """Places in percent, and the buckets' times."""
    is_hourly: bool
    views: int
    """All views of the period."""

    @property
    def height(self) -> int:
        """The height of the highest bar in pixels."""
        return HEIGHT


def plot(buckets: Sequence[ViewBucket], *, is_hourly: bool) -> Plot:
    """Return the plot of all buckets of a period; there is at least one."""
    width = 100 / len(buckets)
    top = _round_up(max(bucket.views for bucket in buckets))
    bars = [
        Bar(
            bucket,
            x=round(width * (number + _GAP / 2), 3),
            width=round(width * (1 - _GAP), 3),
            pages=round(HEIGHT * bucket.pages / top, 2),
            api=round(HEIGHT * bucket.api / top, 2),
        )
        for number, bucket in enumerate(buckets)
        if bucket.views
    ]
    step = -(-len(buckets) // _LABELS_MAX)
    labels = [
        (round(width * (number + 0.5), 3), buckets[number].start)
        for number in range(0, len(buckets), step)
    ]
    lines = [(HEIGHT * part / 2, top * part // 2) for part in (2, 1) if top * part % 2 == 0]
    return Plot(bars, lines, labels, is_hourly, sum(bucket.views for bucket in buckets))


def _round_up(views: int) -> int:
    """Return a round number that is not smaller: 1, 2, 3, 4, 6 or 8, with zeros."""
    size = 1
    while views > 10 * size:
        size *= 10
    return next(size * digit for digit in (1, 2, 3, 4, 6, 8, 10) if size * digit >= views)
