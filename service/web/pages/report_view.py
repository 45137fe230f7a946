"""A report as its page shows it: overview, timeline, findings, in words and numbers for people."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from service.domain.links import Link
from service.domain.videos import PublicVideo
from service.web.pages.cards import Card
from service.web.pages.clock import TENTHS_BELOW, clock_text
from service.web.pages.entries import (
    ALL_SIZE,
    PAGE_SIZE,
    EntryWriter,
    Finding,
    Group,
)
from service.web.pages.overview import is_transcript, overview
from service.web.pages.plots import Window
from service.web.pages.report_index import MOMENT, ReportIndex
from service.web.pages.report_query import ReportQuery
from service.web.pages.timeline import ROWS_MAX, Bar, Section, Timeline, timeline

_FORMER_PART = 2_000
_TITLE_MAX = 60
_REPEATED_MAX = 12_000  # characters of the query in all entries' addresses
_HINT_READ = 1_000  # characters of a content that a tooltip is made of
_TENTHS_ON_AXIS_BELOW = 8.0
_KEYBOARD_STOPS = 60
_SPEAKERS_SHOWN = 100
_LONG_NUMBER, _HUGE_NUMBER = 1e4, 1e9
_NEIGHBOURS = 12
"""Findings of the same time beside a finding that is shown alone."""
_NEAR = 500
"""Findings before and after it among which they are looked for."""


@dataclass(frozen=True, slots=True)
class Legend:
    """A module in the legend, which is the filter."""

    name: str
    colour: int
    count: int
    """Selected findings; all of them if the module is not selected."""
    total: int
    is_on: bool
    address: str
    """The address with this module added to the filter, or taken out of it."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Where a page, or a finding, is among all of them."""

    number: int
    count: int
    previous: str | None
    """Addresses; None at the end."""
    next: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """All that the page of a report shows. Whatever takes time is worked out once."""

    video: PublicVideo
    link: Link
    query: ReportQuery
    analysed_at: str
    duration: float
    total: int
    """Findings that the link shows."""
    found: int
    """Findings that the query selects."""
    modules: int
    speakers: list[str]
    transcripts: list[str]
    entry_prefix: str
    zoom_out: str | None
    earlier: str | None
    later: str | None
    legend: list[Legend] = field(default_factory=list)
    timeline: Timeline | None = None
    is_dense: bool = False
    """Whether the timeline has too many bars for the keyboard to step through."""
    hints: dict[int, str] = field(default_factory=dict)
    """The tooltips of the timeline's bars, by position."""
    cards: list[Card] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    pages: Steps = Steps(1, 1, None, None)
    span: str = ""
    """The time of the page's findings."""
    shown: frozenset[int] = frozenset()
    """The positions of the findings on the page."""
    finding: Finding | None = None
    """The finding that is shown alone."""
    steps: Steps | None = None
    """Where ``finding`` is among the selected ones."""
    beside: list[Group] = field(default_factory=list)
    """What else is found at the time of ``finding``."""

    def clock(self, seconds: float) -> str:
        """A moment of the video: ``0:01.2``, ``12:34``, ``1:02:03``."""
        return clock_text(seconds, tenths=self.duration < TENTHS_BELOW)

    def tick(self, seconds: float) -> str:
        """A mark of the time axis: with tenths only where the marks are that close."""
        length = self.timeline.window.length if self.timeline else self.duration
        return clock_text(seconds, tenths=length < _TENTHS_ON_AXIS_BELOW)

    def zoom(self, section: Section) -> str:
        """The address that shows a section of the time axis alone."""
        return self.query.address(start=section.start, end=section.end)

    def speaker_address(self, speaker: str) -> str:
        """The address that shows what a speaker says."""
        return self.query.address(speaker=speaker)

    @property
    def back(self) -> str:
        """From a finding's own page: its entry among the others."""
        if self.finding is None or self.steps is None:
            return self.query.address()
        position = max(self.steps.number - 1, 0)
        return (
            f"{self.query.address(page=position // PAGE_SIZE + 1)}#s{self.finding.entry.position}"
        )

    @property
    def captions(self) -> list[tuple[str, str]]:
        """The transcripts that may be downloaded, each with the query of its download."""
        chosen = [name for name in self.transcripts if name in self.query.modules]
        filtered = replace(self.query, modules=())
        return [
            (
                name,
                (
                    filtered if number == 0 and not chosen else replace(filtered, modules=(name,))
                ).suffix(),
            )
            for number, name in enumerate(chosen or self.transcripts)
        ]

    def href(self, bar: Bar) -> str:
        """The address of a finding from this page: its entry, or its own page."""
        if bar.position in self.shown:
            return f"#s{bar.position}"
        return self.entry_address(bar.position)

    def entry_address(self, position: int) -> str:
        """The address of a finding's own page, among those that the query selects.

        A long query is left out where it would be repeated too often.
        """
        return f"{self.entry_prefix}entry={position}"


def lay_out(index: ReportIndex, link: Link, query: ReportQuery, download: str) -> Report:
    """Return what the page of a query shows; the nearest page, if there is no such page.

    ``download`` is the address of the whole analysis. The time is linear in the findings.
    """
    positions = index.select(query)
    window = _window(index, query)
    writer = EntryWriter(index, query.words, tenths=index.duration < TENTHS_BELOW)
    is_one = query.entry is not None and query.entry < len(index)
    show = _finding_view if is_one else _list_view
    return Report(
        video=index.video,
        link=link,
        query=query,
        analysed_at=index.analysed_at or index.video.updated_at,
        duration=index.duration,
        total=len(index),
        found=len(positions),
        modules=len(index.modules),
        speakers=index.speakers[1 : _SPEAKERS_SHOWN + 1],
        transcripts=list(filter(is_transcript, index.modules)),
        **_moves(index, query, window),
        **show(index, query, positions, writer, download),
    )


def _entry_prefix(query: ReportQuery, times: int) -> str:
    suffix = query.suffix()
    return f"{suffix}&" if suffix and len(suffix) * times <= _REPEATED_MAX else "?"


def _list_view(
    index: ReportIndex, query: ReportQuery, positions: Sequence[int], writer: EntryWriter, _: str
) -> dict[str, Any]:
    """What a page of findings shows: the fields of a Report that a finding's page has not."""
    size = ALL_SIZE if query.shows_all else PAGE_SIZE
    page = _page(query, len(positions), size)
    shown = list(positions[(page - 1) * size : page * size])
    window, totals = _window(index, query), _totals(index, positions)
    picture = timeline(index, positions, window) if len(index) else None
    bars = [bar for row in picture.rows for bar in row.bars] if picture else []
    has_cards = not query.is_search and page == 1
    return {
        "legend": _legend(index, query, totals),
        "timeline": picture,
        "is_dense": len(bars) > _KEYBOARD_STOPS,
        "hints": {bar.position: _hint(index, writer, bar) for bar in bars},
        "cards": _cards(index, query, positions, window) if has_cards else [],
        "groups": writer.groups(shown, totals),
        "pages": _page_steps(query, page, len(positions), size),
        "span": _span(index, writer, shown),
        "shown": frozenset(shown),
        "entry_prefix": _entry_prefix(query, len(shown)),
    }


def _finding_view(
    index: ReportIndex, query: ReportQuery, positions: Sequence[int], writer: EntryWriter, file: str
) -> dict[str, Any]:
    """What a finding's own page shows; ``file`` is the address of the whole analysis."""
    position = query.entry or 0
    return {
        "finding": writer.finding(position, file),
        "steps": _finding_steps(query, positions, position),
        "beside": _beside(index, writer, position),
        "entry_prefix": _entry_prefix(query, _NEIGHBOURS),
    }


def _span(index: ReportIndex, writer: EntryWriter, shown: Sequence[int]) -> str:
    """From when to when the findings of a page are."""
    if not shown:
        return ""
    end = max(index.ends[position] for position in shown)
    return f"{writer.clock(index.starts[shown[0]])} to {writer.clock(end)}"


def _window(index: ReportIndex, query: ReportQuery) -> Window:
    """The part of the time that is looked at, a moment of the video at least."""
    start = min(query.start or 0.0, index.duration)
    end = index.duration if query.end is None else min(query.end, index.duration)
    if end - start < MOMENT:
        start = max(end - 1.0, 0.0)
        end = start + 1.0
    return Window(start, end)


def _page(query: ReportQuery, count: int, size: int) -> int:
    wanted = query.page
    if query.former_part is not None:
        wanted = (query.former_part - 1) * _FORMER_PART // size + 1
    return min(wanted, max((count + size - 1) // size, 1))


def _page_steps(query: ReportQuery, page: int, total: int, size: int) -> Steps:
    count = max((total + size - 1) // size, 1)

    def address(number: int) -> str | None:
        is_there = 1 <= number <= count
        return query.address(page=number, shows_all=query.shows_all) if is_there else None

    return Steps(page, count, address(page - 1), address(page + 1))


def _finding_steps(query: ReportQuery, positions: Sequence[int], position: int) -> Steps:
    """Where a finding is among the selected ones; number 0 if it is none of them."""
    at = bisect_left(positions, position)
    is_selected = at < len(positions) and positions[at] == position
    after = at + is_selected

    def address(position: int) -> str | None:
        is_there = 0 <= position < len(positions)
        return query.address(entry=positions[position]) if is_there else None

    return Steps(at + 1 if is_selected else 0, len(positions), address(at - 1), address(after))


def _moves(index: ReportIndex, query: ReportQuery, window: Window) -> dict[str, Any]:
    """The addresses that lead out of a zoomed window, and to the windows beside it."""
    if query.start is None and query.end is None:
        return {"zoom_out": None, "earlier": None, "later": None}
    before = Window(max(window.start - window.length, 0.0), window.start)
    after = Window(window.end, min(window.end + window.length, index.duration))
    return {"zoom_out": query.address(start=None, end=None)} | {
        name: query.address(start=to.start, end=to.end) if to.end > to.start else None
        for name, to in (("earlier", before), ("later", after))
    }


def _totals(index: ReportIndex, positions: Sequence[int]) -> list[int]:
    if len(positions) == len(index):
        return [len(members) for members in index.positions]
    totals = [0] * len(index.modules)
    module_of = index.module_of
    for position in positions:
        totals[module_of[position]] += 1
    return totals


def _legend(index: ReportIndex, query: ReportQuery, totals: Sequence[int]) -> list[Legend]:
    selected = index.numbers_of(query)
    return [
        Legend(
            name=name,
            colour=number % 8,
            count=totals[number],
            total=len(index.positions[number]),
            is_on=bool(query.modules) and number in selected,
            address=query.toggled(name),
        )
        for number, name in enumerate(index.modules[:ROWS_MAX])
    ]


def _cards(
    index: ReportIndex, query: ReportQuery, positions: Sequence[int], window: Window
) -> list[Card]:
    if query.is_filtered:
        return overview(index, positions, window)
    if index.cards is None:
        index.cards = overview(index, positions, window)
    return index.cards


def _hint(index: ReportIndex, writer: EntryWriter, bar: Bar) -> str:
    segment = index.segment(bar.position)
    span = f"{writer.clock(segment.start_time)} to {writer.clock(segment.end_time)}"
    content = " ".join(segment.content[:_HINT_READ].split())
    hint = f"{segment.module[:_TITLE_MAX]} \u00b7 {span}"
    return f"{hint} \u00b7 {content[:_TITLE_MAX]}" if content else hint


def _beside(index: ReportIndex, writer: EntryWriter, position: int) -> list[Group]:
    """What else is found while a finding lasts: the nearest of those that began near it."""
    near = range(max(position - _NEAR, 0), min(position + _NEAR, len(index)))
    end = max(index.ends[position], index.starts[position] + 0.001)
    neighbours = [
        other for other in index.within(near, index.starts[position], end) if other != position
    ]
    neighbours.sort(key=lambda other: abs(other - position))
    totals = [len(positions) for positions in index.positions]
    return writer.groups(sorted(neighbours[:_NEIGHBOURS]), totals)


def number_text(number: float) -> str:
    """A number, short: four digits are enough beside a plot."""
    return f"{number:.0f}" if _LONG_NUMBER <= abs(number) < _HUGE_NUMBER else f"{number:.4g}"
