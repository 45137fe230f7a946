"""The picture of a report: the place of each segment in time, and numbers over time.

Pure geometry. Horizontal places are percentages of the picture's width, so that it fits any
screen; vertical ones are pixels. The template only writes down what is worked out here.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from math import ceil, inf

from service.domain.segments import StoredSegment
from service.domain.videos import Segment

BINS = 400
"""Places that can be told apart across a row."""

BARS_MAX = 20_000
"""Bars of all rows. Rows of more than 50 modules have fewer bins, but BINS_MIN at least."""

BINS_MIN = 40

TRACKS_MAX = 4
PLOTS_MAX = 12
"""Plots of one module."""
SERIES_MAX = 200
"""Names of numbers of one module that are looked at."""
_TRACK_HEIGHT = 14
_TRACK_GAP = 2
_LABEL_HEIGHT = 22
_ROW_GAP = 12
_AXIS_HEIGHT = 24
_NARROWEST = 0.3
_TICKS_MAX = 6
_STEPS = (
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    14400,
    43200,
)
_DAY = 86_400.0
_HUGE = 1e300
_NUMBERS = {int, float}  # of decoded JSON; a bool is none
_SHADES = 4
_MOMENT = 0.05


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of a row: one segment, or several that merged because there are too many."""

    x: float
    width: float
    y: int
    shade: int
    """1 to 4: how busy the stretch is, against the busiest of its row."""
    first: int
    """The place, among all segments, of the segment that it links to."""
    count: int
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Row:
    """One module's row, from ``y`` down; its bars' places are from the picture's top."""

    module: str
    y: int
    bars: list[Bar]


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on the time axis."""

    x: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """The whole picture; ``bar_height`` and ``height`` are in pixels."""

    rows: list[Row]
    ticks: list[Tick]
    height: int
    bar_height: int = _TRACK_HEIGHT


Placed = tuple[int, Segment | StoredSegment]
"""A segment with its place among all of the report's segments."""
_Point = tuple[float, float]
"""A moment in seconds, and a value."""


def timeline(modules: dict[str, list[Placed]], duration: float) -> Timeline:
    """The picture of all modules, a row each, over ``duration`` seconds."""
    rows = []
    bins = min(BINS, max(BINS_MIN, BARS_MAX // max(len(modules), 1)))
    y = _AXIS_HEIGHT
    for module, placed in modules.items():
        tracks = _tracks(placed) if len(placed) <= bins else None
        bars = (
            _merged(placed, duration, y + _LABEL_HEIGHT, bins)
            if tracks is None
            else _apart(placed, tracks, duration, y + _LABEL_HEIGHT)
        )
        rows.append(Row(module, y, bars))
        depth = 1 if tracks is None else max(tracks) + 1
        y += _LABEL_HEIGHT + depth * (_TRACK_HEIGHT + _TRACK_GAP) + _ROW_GAP
    return Timeline(rows, _ticks(duration), y)


def _tracks(placed: Sequence[Placed]) -> list[int] | None:
    """For each segment the first track that is free; None where they overlap too deeply."""
    ends: list[float] = []
    tracks = []
    for _, segment in placed:
        free = next((n for n, end in enumerate(ends) if end <= segment.start_time), len(ends))
        if free == TRACKS_MAX:
            return None
        ends[free : free + 1] = [segment.end_time]
        tracks.append(free)
    return tracks


def _apart(placed: Sequence[Placed], tracks: Sequence[int], duration: float, y: int) -> list[Bar]:
    return [
        Bar(
            x=_percent(segment.start_time, duration),
            width=max(_percent(segment.end_time - segment.start_time, duration), _NARROWEST),
            y=y + track * (_TRACK_HEIGHT + _TRACK_GAP),
            shade=_SHADES,
            first=place,
            count=1,
            start=segment.start_time,
            end=segment.end_time,
        )
        for (place, segment), track in zip(placed, tracks, strict=True)
    ]


def _merged(placed: Sequence[Placed], duration: float, y: int, bins: int) -> list[Bar]:
    """The row as ``bins`` stretches, each as dark as it is busy; equal neighbours are one bar."""
    covered = _coverage(placed, duration, bins)
    busiest = max(1.0, *covered)
    shades = [min(int(cover / busiest * _SHADES + 0.999), _SHADES) for cover in covered]
    starts = [segment.start_time for _, segment in placed]
    bars: list[Bar] = []
    begin = 0
    for place in range(1, bins + 1):
        shade = shades[begin]
        if place < bins and shades[place] == shade:
            continue
        if shade:
            start, end = begin * duration / bins, place * duration / bins
            before, until = bisect_left(starts, start), bisect_left(starts, end)
            # Where none starts inside, the stretch belongs to one that began before it.
            first = before if before < until else max(before - 1, 0)
            bars.append(
                Bar(
                    x=_percent(start, duration),
                    width=_percent(end - start, duration),
                    y=y,
                    shade=shade,
                    first=placed[first][0],
                    count=max(until - before, 1),
                    start=start,
                    end=end,
                )
            )
        begin = place
    return bars


def _coverage(placed: Sequence[Placed], duration: float, bins: int) -> list[float]:
    """How many times each bin is covered; even a moment covers a little of its bin."""
    inner = [0] * (bins + 1)  # steps of the count of segments that cover a whole bin
    edges = [0.0] * bins
    for _, segment in placed:
        low, high = segment.start_time * bins / duration, segment.end_time * bins / duration
        first = min(int(low), bins - 1)
        last = max(min(ceil(high), bins) - 1, first)
        edges[first] += max(min(high, first + 1) - low, _MOMENT)
        if last > first:
            edges[last] += high - last
            inner[first + 1] += 1
            inner[last] -= 1
    return [edge + whole for edge, whole in zip(edges, accumulate(inner), strict=False)]


def _bin(seconds: float, duration: float) -> int:
    number = int(seconds * BINS / duration)
    return number if number < BINS else BINS - 1


def _percent(seconds: float, duration: float) -> float:
    return round(seconds * 100 / duration, 3)


def _ticks(duration: float) -> list[Tick]:
    step = next((step for step in _STEPS if duration / step <= _TICKS_MAX), None)
    if step is None:  # days
        step = _DAY * (duration // (_DAY * _TICKS_MAX) + 1)
    return [Tick(_percent(n * step, duration), n * step) for n in range(int(duration / step) + 1)]


@dataclass(frozen=True, slots=True)
class Plot:
    """One number of a module's metadata over time, as the points of a line in a 100 by 100 box."""

    name: str
    points: str
    low: float
    high: float


def plots(placed: Sequence[Placed], duration: float) -> list[Plot]:
    """A plot of each number of the segments' metadata; PLOTS_MAX of them, in the order of use.

    Numbers that occur once or never change are left out, and so are counters: whole numbers that
    only grow, such as frame numbers. Numbers beyond the first SERIES_MAX names are not looked at.
    """
    series: dict[str, _Series] = {}
    is_crowded = len(placed) > 2 * BINS
    for place, segment in placed:
        metadata = segment.metadata
        if not isinstance(metadata, dict):
            continue
        at = (segment.start_time + segment.end_time) / 2
        group = _bin(at, duration) if is_crowded else place
        for name, value in metadata.items():
            if type(value) not in _NUMBERS:
                continue
            if (numbers := series.get(name)) is None:
                if len(series) == SERIES_MAX:
                    continue
                numbers = series[name] = _Series()
            numbers.add(group, (at, _bounded(value)))
    drawn = (_plot(name, numbers, duration) for name, numbers in series.items())
    return list(islice(filter(None, drawn), PLOTS_MAX))


def _bounded(value: float) -> float:
    """As a finite float: whole numbers in JSON have no bound."""
    return float(value) if -_HUGE <= value <= _HUGE else (_HUGE if value > 0 else -_HUGE)


class _Series:
    """The points of one number, at most two a group: its lowest and its highest.

    The groups' points are sorted, not all: a sort of 100,000 points holds the interpreter lock for
    150 ms.
    """

    __slots__ = ("_extremes", "_last", "is_counter")

    def __init__(self) -> None:
        self.is_counter = True
        self._last = -inf
        self._extremes: dict[int, tuple[_Point, _Point]] = {}

    def add(self, group: int, point: _Point) -> None:
        value = point[1]
        if self.is_counter:
            self.is_counter = self._last < value and value.is_integer()
            self._last = value
        if (extremes := self._extremes.get(group)) is None:
            self._extremes[group] = point, point
        elif value < extremes[0][1]:
            self._extremes[group] = point, extremes[1]
        elif value > extremes[1][1]:
            self._extremes[group] = extremes[0], point

    def points(self) -> list[_Point]:
        """The points in the order of time."""
        return sorted({point for extremes in self._extremes.values() for point in extremes})


def _plot(name: str, numbers: _Series, duration: float) -> Plot | None:
    """The plot of a number; None if it never changes or is a counter."""
    if numbers.is_counter:
        return None
    points = numbers.points()
    values = [value for _, value in points]
    low, high = min(values), max(values)
    if low == high:
        return None
    span = high - low
    line = " ".join(
        f"{_percent(at, duration):g},{round(100 * (high - value) / span, 1):g}"
        for at, value in points
    )
    return Plot(name, line, low, high)
