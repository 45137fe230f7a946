"""The picture's geometry: at its place, inside the picture, and bounded, whatever comes in."""

import re
import tracemalloc
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.harness import segment

from service.domain.videos import PublicVideo
from service.web.pages.clock import clock_text
from service.web.pages.plots import BINS as PLOT_BINS
from service.web.pages.plots import SERIES_MAX, Numbers, Plot, Window, is_crowded
from service.web.pages.report_index import MOMENT, ReportIndex
from service.web.pages.timeline import (
    BARS_MAX,
    BINS,
    LEVELS,
    ROWS_MAX,
    SECTIONS_MAX,
    TRACKS_MAX,
    Timeline,
    sections,
    timeline,
)

VIDEO = PublicVideo("1", "j", "v", "completed", None, None, "", "", ())


def index_of(
    *spans: tuple[float, float], module: Callable[[int], str] = lambda _: "m"
) -> ReportIndex:
    segments = [
        segment(start, end, module(n), id=str(n), metadata=None, created_at="")
        for n, (start, end) in enumerate(sorted(spans))
    ]
    return ReportIndex(VIDEO, msgspec.json.encode(segments))


def picture_of(index: ReportIndex) -> Timeline:
    return timeline(index, range(len(index)), Window(0, index.duration))


def heights(path: str) -> list[int]:
    """The height of each bin of an area, as its path draws it."""
    found: list[int] = []
    level = 0
    for position, y in re.findall(r"(?:H(\d+))?V(\d+)", path):
        found += [level] * (int(position or 0) - len(found))
        level = LEVELS - int(y)
    return found


times = st.floats(0, 1e9) | st.floats(0, 100)
spans = st.tuples(times, times).map(lambda pair: (min(pair), max(pair)))


@given(st.lists(spans, min_size=1, max_size=60), st.booleans(), spans)
def test_timeline_bars_and_areas_lie_inside(
    given_spans: list[tuple[float, float]],
    crowd: bool,  # noqa: FBT001 - given by position
    zoomed: tuple[float, float],
) -> None:
    index = index_of(*(given_spans * 20 if crowd else given_spans))
    windows = [Window(0, index.duration)]
    if min(zoomed[1], index.duration) - zoomed[0] >= MOMENT:
        windows.append(Window(zoomed[0], min(zoomed[1], index.duration)))
    for window in windows:
        positions = index.within(range(len(index)), window.start, window.end)
        picture = timeline(index, positions, window)
        [row] = picture.rows
        assert bool(row.bars or row.density) == bool(positions)
        assert len(row.bars) <= BARS_MAX
        for bar in row.bars:
            assert 0 <= bar.x <= 100
            assert 0 < bar.width <= 100.01
            assert 0 <= bar.y <= bar.y + bar.height <= row.height
            assert bar.position in positions
        assert len(heights(row.density)) <= BINS
        assert all(0 <= height <= LEVELS for height in heights(row.density))
        assert 1 <= len(picture.sections) <= SECTIONS_MAX + 1


@example(start=1.9999998807907104, length=1.0)  # a hair before a section's end
@given(times, times)
def test_timeline_sections_fill_the_window(start: float, length: float) -> None:
    window = Window(start, start + max(length, 0.1))
    found = sections(window)
    assert found[0].start == pytest.approx(window.start)
    assert found[-1].end == pytest.approx(window.end, abs=window.length * 1e-5)
    for before, after in pairwise(found):
        assert before.end == after.start
        assert before.x <= after.x


def test_timeline_shows_density_where_bars_are_crowded_or_deep() -> None:
    [apart] = picture_of(index_of(*((n, n + 1) for n in range(BARS_MAX)))).rows
    assert (len(apart.bars), apart.density) == (BARS_MAX, "")
    [crowded] = picture_of(index_of(*((n, n + 0.5) for n in range(BARS_MAX + 1)))).rows
    assert (crowded.bars, bool(crowded.density)) == ([], True)
    [deep] = picture_of(index_of(*[(0, 10)] * (TRACKS_MAX + 1), (19, 20), (19, 20))).rows
    assert deep.bars == []
    shown = heights(deep.density)
    assert shown[: BINS // 2] == [LEVELS] * (BINS // 2)
    assert set(shown[BINS // 2 : 190]) == {0}
    assert 0 < shown[-1] < LEVELS


def test_timeline_marks_what_is_selected_among_all() -> None:
    index = index_of(*((n, n + 1) for n in range(1_000)))
    few = timeline(index, [7, 500], Window(0, 1_000)).rows[0]
    assert ([bar.position for bar in few.bars], bool(few.density)) == ([7, 500], True)
    many = timeline(index, range(400), Window(0, 1_000)).rows[0]
    assert not many.bars
    assert heights(many.selected)[:80] == [LEVELS] * 80
    assert not any(heights(many.selected)[80:])
    assert all(heights(many.density))


def test_timeline_has_at_most_1500_shapes_whatever_it_shows() -> None:
    spans = [(n, n + 0.9) for n in range(40_000)]
    for modules in (1, 15, 500):
        names = [f"m{n % modules}" for n in range(len(spans))]
        index = index_of(*spans, module=names.__getitem__)
        for positions in (range(len(index)), range(0, len(index), 7), [5]):
            picture = timeline(index, positions, Window(0, index.duration))
            assert len(picture.rows) == min(modules, ROWS_MAX)
            assert picture.rows_left_out == modules - len(picture.rows)
            shapes = 2 * len(picture.sections) + sum(
                len(row.bars) + bool(row.density) + bool(row.selected) for row in picture.rows
            )
            assert shapes <= 1_500


def test_timeline_gives_rows_of_few_findings_bars_first() -> None:
    index = index_of(
        *((n, n + 0.9) for n in range(1_000)), module=lambda n: "rare" if n % 100 == 0 else "often"
    )
    rare, often = picture_of(index).rows
    assert (len(rare.bars), len(often.bars)) == (10, 0)


def plots(placed: Sequence[tuple[int, float, Any]], duration: float) -> list[Plot]:
    """Plots of places, times and metadata."""
    numbers = Numbers(Window(0, duration), is_crowded=is_crowded(len(placed)))
    for position, at, metadata in placed:
        for name, value in metadata.items():
            if type(value) in {int, float}:
                numbers.add(name, position, at, value)
    return numbers.plots(12)


@pytest.mark.parametrize(
    ("values", "plotted"),
    [
        ([1.5, 2.5], True),
        ([1, 5, 2], True),
        ([0, 30, 76], False),  # a counter
        ([7, 7, 7], False),
        ([1], False),
        ([True, False], False),
        (["1", "2"], False),
        ([10**400, 0.5], True),
    ],
)
def test_plots_show_informative_numbers_only(values: list[object], *, plotted: bool) -> None:
    assert bool(plots([(n, n, {"x": value}) for n, value in enumerate(values)], 10)) == plotted


def test_plots_keep_the_peaks_of_many_numbers() -> None:
    numbers = [(n, n, {"x": 100.0 if n == 4711 else n % 2 / 2}) for n in range(10_000)]
    [plot] = plots(numbers, 10_000)
    points = [tuple(map(float, point.split(","))) for point in plot.points.split()]
    assert len(points) <= 2 * PLOT_BINS
    assert min(y for _, y in points) == 0
    assert (plot.low, plot.high) == (0, 100)


@pytest.mark.parametrize(
    ("segment_count", "names_of"),
    [
        (40, lambda n: [f"{n}-{name}" for name in range(2_000)]),  # each name once
        (20_000, lambda _: ["a", "b"]),
    ],
)
def test_plots_keep_few_points_of_few_names(
    segment_count: int, names_of: Callable[[int], list[str]]
) -> None:
    segments = [
        (n, float(n), {"x": n % 7} | dict.fromkeys(names_of(n), n % 5))
        for n in range(segment_count)
    ]
    tracemalloc.start()
    try:
        first, *_ = plots(segments, segment_count)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert first.name == "x"
    assert peak < 2**20


def test_plots_look_at_the_first_names_only() -> None:
    many = {f"constant-{n}": 1 for n in range(SERIES_MAX - 1)}
    segments = [(n, float(n), many | {"last": n % 2, "beyond": n % 2}) for n in range(4)]
    assert [plot.name for plot in plots(segments, 4)] == ["last"]


@pytest.mark.parametrize(
    ("seconds", "tenths", "text"),
    [
        (0, False, "0:00"),
        (1.29, True, "0:01.2"),
        (59.99, False, "0:59"),
        (60, True, "1:00.0"),
        (3599, False, "59:59"),
        (3723.5, False, "1:02:03"),
        (1e9, False, "277777:46:40"),
    ],
)
def test_clock_text_reads_like_the_clock_of_a_player(
    seconds: float, text: str, *, tenths: bool
) -> None:
    assert clock_text(seconds, tenths=tenths) == text
