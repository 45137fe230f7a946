"""The picture of a report: which findings are when, in a row for each module.

Pure geometry. Horizontal positions are percentages of the picture's width, so that it fits any
screen; vertical ones are pixels. The template only writes down what is worked out here. However
many findings there are, a row that can't show each of them apart shows how dense they are.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, sqrt

from service.web.pages.plots import Window
from service.web.pages.report_index import ReportIndex

ROWS_MAX = 60
"""Modules that have a row."""
BARS_MAX = 200
"""Findings, of all rows, that are shown apart."""
BINS = 200
"""Stretches of a row that shows density."""
LEVELS = 8
"""Heights that density has."""
TRACKS_MAX = 4
"""Bars of a row above one another."""
SECTIONS_MAX = 9
_NARROWEST = 0.3
_ROW_HEIGHTS = ((4, 30), (8, 24), (16, 18), (30, 14))
_LOWEST_ROW = 12
_GAP = 2
_STEPS = (
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900),
    *(1800, 3600, 7200, 14400, 43200),
)
_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A finding of a row."""

    x: float
    width: float
    y: float
    height: float
    position: int


@dataclass(frozen=True, slots=True)
class Row:
    """One module's row."""

    number: int
    """The module's."""
    height: int
    density: str
    """All of its findings, as the outline of an area of BINS by LEVELS; empty without any."""
    selected: str
    """Those that are selected, if not all are, and if there are too many for bars."""
    bars: list[Bar]
    is_whole: bool
    """Whether all of its findings in the window are selected."""


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of the axis."""

    x: float
    width: float
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """The whole picture."""

    window: Window
    rows: list[Row]
    sections: list[Section]
    rows_left_out: int


def timeline(index: ReportIndex, positions: Sequence[int], window: Window) -> Timeline:
    """The picture of the findings within a window; those at ``positions`` stand out."""
    numbers = range(min(len(index.modules), ROWS_MAX))
    height = next((high for limit, high in _ROW_HEIGHTS if len(numbers) <= limit), _LOWEST_ROW)
    seen = _by_module(index, index.within(range(len(index)), window.start, window.end))
    chosen = _by_module(index, positions)
    bars = _bars(index, {number: chosen[number] for number in numbers}, window, height)
    rows = []
    for number in numbers:
        has_bars = number in bars
        is_whole = len(chosen[number]) == len(seen[number])
        rows.append(
            Row(
                number=number,
                height=height,
                density="" if has_bars and is_whole else _area(index, seen[number], window),
                selected=""
                if has_bars or is_whole
                else _area(index, chosen[number], window, seen[number]),
                bars=bars.get(number, []),
                is_whole=is_whole,
            )
        )
    return Timeline(window, rows, sections(window), len(index.modules) - len(rows))


def _by_module(index: ReportIndex, positions: Sequence[int]) -> "list[array[int]]":
    if len(positions) == len(index):
        return index.positions
    by_module = [array("I") for _ in index.modules]
    module_of = index.module_of
    for position in positions:
        by_module[module_of[position]].append(position)
    return by_module


def _bars(
    index: ReportIndex, chosen: "dict[int, array[int]]", window: Window, height: int
) -> dict[int, list[Bar]]:
    """The bars of rows that show each finding apart: those with the fewest first."""
    left = BARS_MAX
    drawn = {}
    for number, positions in sorted(chosen.items(), key=lambda item: len(item[1])):
        if not positions or len(positions) > left:
            continue
        if (tracks := _tracks(index, positions)) is not None:
            drawn[number] = _apart(index, positions, tracks, window, height)
            left -= len(positions)
    return drawn


def _tracks(index: ReportIndex, positions: Sequence[int]) -> list[int] | None:
    """For each finding the first track that is free; None where they overlap too deeply."""
    ends: list[float] = []
    tracks = []
    for position in positions:
        start = index.starts[position]
        free = next((n for n, end in enumerate(ends) if end <= start), len(ends))
        if free == TRACKS_MAX:
            return None
        ends[free : free + 1] = [index.ends[position]]
        tracks.append(free)
    return tracks


def _apart(
    index: ReportIndex,
    positions: Sequence[int],
    tracks: Sequence[int],
    window: Window,
    height: int,
) -> list[Bar]:
    track_height = (height - _GAP) / (max(tracks) + 1)
    bars = []
    for position, track in zip(positions, tracks, strict=True):
        x = min(window.percent(index.starts[position]), 100 - _NARROWEST)
        width = max(round(window.percent(index.ends[position]) - x, 2), _NARROWEST)
        y = round(track * track_height + _GAP / 2, 1)
        bars.append(Bar(x, width, y, round(max(track_height - 1, 1), 1), position))
    return bars


def _area(
    index: ReportIndex,
    positions: Sequence[int],
    window: Window,
    against: Sequence[int] | None = None,
) -> str:
    """How dense findings are, as a path; as high as the densest stretch of ``against`` at most."""
    if not positions:
        return ""
    counts = _density(index, positions, window)
    highest = max(counts if against is None else _density(index, against, window))
    levels = [ceil(LEVELS * sqrt(count / highest)) for count in counts]
    path = [f"M0 {LEVELS}"]
    before = 0
    for bin_number, level in enumerate([*levels, 0]):
        if level != before:
            path.append(f"H{bin_number}V{LEVELS - level}")
            before = level
    return "".join(path).replace("H0", "", 1) + "Z"


def _density(index: ReportIndex, positions: Sequence[int], window: Window) -> list[int]:
    """How many of the findings are in each bin."""
    steps = [0] * (BINS + 1)
    starts, ends, start, scale = index.starts, index.ends, window.start, BINS / window.length
    last_bin = BINS - 1
    for position in positions:
        first = int((starts[position] - start) * scale)
        last = ceil((ends[position] - start) * scale) - 1
        first = 0 if first < 0 else min(last_bin, first)
        last = first if last < first else min(last_bin, last)
        steps[first] += 1
        steps[last + 1] -= 1
    return list(accumulate(steps[:-1]))


def sections(window: Window) -> list[Section]:
    """The window in equal stretches of a round length; the first and the last may be shorter."""
    step = next((step for step in _STEPS if window.length / step <= SECTIONS_MAX - 1), None)
    if step is None:  # days
        step = _DAY * (window.length // (_DAY * (SECTIONS_MAX - 1)) + 1)
    first = int(window.start / step + 1e-9)
    stretches = []
    for number in range(first, first + SECTIONS_MAX + 1):
        start = max(round(number * step, 3), window.start)
        end = min(round((number + 1) * step, 3), window.end)
        if end - start <= window.length * 1e-6:  # a sliver before the first, or behind the last
            continue
        x = window.percent(start)
        stretches.append(Section(x, round(window.percent(end) - x, 2), start, end))
    return stretches
