"""Numbers of a module's metadata over time, as lines.

Horizontal positions are percentages of the picture's width, so that it fits any screen.
"""

from dataclasses import dataclass
from itertools import islice
from math import inf

BINS = 100
"""Places that can be told apart across a plot."""
SERIES_MAX = 200
"""Names of numbers of one module that are looked at."""
_HUGE = 1e300
_Point = tuple[float, float]
"""A moment in seconds, and a value."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the video's time, in seconds."""

    start: float
    end: float

    @property
    def length(self) -> float:
        """Seconds; never 0."""
        return max(self.end - self.start, 1e-3)

    def percent(self, seconds: float) -> float:
        """A moment as a position across the window, within it."""
        percent = round((seconds - self.start) * 100 / self.length, 2)
        return min(max(percent, 0.0), 100.0)

    def bin(self, seconds: float, bins: int) -> int:
        """The one of ``bins`` equal parts of the window that a moment is in, or is nearest to."""
        number = (seconds - self.start) * bins / self.length
        return 0 if number < 0 else bins - 1 if number >= bins else int(number)


@dataclass(frozen=True, slots=True)
class Plot:
    """One number over time, as the points of a line in a 100 by 100 box."""

    name: str
    points: str
    low: float
    high: float


class Numbers:
    """The numbers of one module's findings, by name.

    Numbers that occur once or never change are left out of the plots, and so are counters: whole
    numbers that only grow, such as frame numbers.
    """

    def __init__(self, window: Window, *, is_crowded: bool) -> None:
        self._window = window
        self._is_crowded = is_crowded
        self._series: dict[str, _Series] = {}

    def add(self, name: str, position: int, at: float, value: float) -> None:
        """Take a number of a finding, by the finding's position and the middle of its time."""
        if (numbers := self._series.get(name)) is None:
            if len(self._series) == SERIES_MAX:
                return
            numbers = self._series[name] = _Series()
        numbers.add(
            self._window.bin(at, BINS) if self._is_crowded else position, (at, _bounded(value))
        )

    def plots(self, limit: int) -> list[Plot]:
        """The first plots, in the order of their numbers' use."""
        drawn = (_plot(name, numbers, self._window) for name, numbers in self._series.items())
        return list(islice(filter(None, drawn), limit))


def is_crowded(findings: int) -> bool:
    """Whether a plot of so many findings has groups of them as its points."""
    return findings > 2 * BINS


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


def _plot(name: str, numbers: _Series, window: Window) -> Plot | None:
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
        f"{round(window.percent(at), 1):g},{round(100 * (high - value) / span):g}"
        for at, value in points
    )
    return Plot(name, line, low, high)
