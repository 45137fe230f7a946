"""The picture's geometry: at its place, inside the picture, and bounded, whatever comes in."""

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.videos import Segment
from service.web.pages.report_view import clock_text
from service.web.pages.timeline import (
    BARS_MAX,
    BINS,
    SERIES_MAX,
    TRACKS_MAX,
    Placed,
    plots,
    timeline,
)


def placed(*spans: tuple[float, float], metadata: object = None) -> list[Placed]:
    ordered = sorted(spans)
    return [
        (n, Segment(str(n), "j", "m", "", start, end, metadata, "2025-01-15T10:00:00"))
        for n, (start, end) in enumerate(ordered)
    ]


times = st.floats(0, 1e9) | st.floats(0, 100)
spans = st.tuples(times, times).map(lambda pair: (min(pair), max(pair)))


@given(st.lists(spans, min_size=1, max_size=60), st.booleans())
def test_timeline_bars_lie_inside_and_lead_to_a_segment(
    given_spans: list[tuple[float, float]],
    crowd: bool,  # noqa: FBT001 - given by position
) -> None:
    segments = placed(*(given_spans * 20 if crowd else given_spans))
    duration = max(end for _, end in given_spans) or 1.0
    picture = timeline({"m": segments}, duration)
    [row] = picture.rows
    assert 1 <= len(row.bars) <= max(len(segments), BINS)
    for bar in row.bars:
        assert 0 <= bar.x <= 100
        assert 0 < bar.width <= 100.001
        assert row.y < bar.y < picture.height
        assert 0 <= bar.first < len(segments)
        assert 1 <= bar.shade <= 4
    assert 1 <= len(picture.ticks) <= 8
    assert all(0 <= tick.x <= 100 for tick in picture.ticks)


def test_timeline_merges_crowded_or_deep_bars_into_shades() -> None:
    apart = timeline({"m": placed(*((n, n + 1) for n in range(BINS)))}, BINS)
    assert {bar.count for bar in apart.rows[0].bars} == {1}
    crowded = timeline({"m": placed(*((n, n + 0.5) for n in range(BINS + 1)))}, BINS + 1)
    assert sum(bar.count for bar in crowded.rows[0].bars) >= BINS + 1
    deep = timeline({"m": placed(*((0, 10) for _ in range(TRACKS_MAX + 1)))}, 20)
    [bar] = deep.rows[0].bars
    assert (bar.x, bar.width, bar.count, bar.shade) == (0, 50, TRACKS_MAX + 1, 4)


def test_timeline_of_many_modules_has_bounded_bars() -> None:
    modules = {f"m{n}": placed(*((3 * n, 3 * n + 1) for n in range(200))) for n in range(500)}
    picture = timeline(modules, 600)
    assert 0 < sum(len(row.bars) for row in picture.rows) <= BARS_MAX
    assert all(row.bars for row in picture.rows)


def test_timeline_shades_a_busy_stretch_darker() -> None:
    quiet = [(n * 10.0, n * 10.0 + 10) for n in range(10)]
    busy = [(100.0, 200.0)] * 8
    picture = timeline({"m": placed(*quiet, *busy)}, 200)
    assert [bar.shade for bar in picture.rows[0].bars] == [1, 4]


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
    segments = [
        (n, Segment(str(n), "j", "m", "", n, n, {"x": value}, "2025-01-15T10:00:00"))
        for n, value in enumerate(values)
    ]
    assert bool(plots(segments, 10)) == plotted


def test_plots_keep_the_peaks_of_many_numbers() -> None:
    segments = [
        (n, Segment("1", "j", "m", "", n, n, {"x": 100.0 if n == 4711 else n % 2 / 2}, ""))
        for n in range(10_000)
    ]
    [plot] = plots(segments, 10_000)
    points = [tuple(map(float, point.split(","))) for point in plot.points.split()]
    assert len(points) <= 2 * BINS
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
    segments: list[Placed] = [
        (n, Segment("1", "j", "m", "", n, n, {"x": n % 7} | dict.fromkeys(names_of(n), n % 5), ""))
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
    segments: list[Placed] = [
        (n, Segment("1", "j", "m", "", n, n, many | {"last": n % 2, "beyond": n % 2}, ""))
        for n in range(4)
    ]
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
