"""Findings as they are read: times, who says it, text with its hits, technical fields."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from service.domain.segments import StoredSegment, speaker_of
from service.web.pages.clock import clock_text
from service.web.pages.folding import find_hits, marked
from service.web.pages.metadata_lines import lines_of
from service.web.pages.metadata_view import metadata_html
from service.web.pages.overview import is_transcript
from service.web.pages.report_index import ReportIndex

PAGE_SIZE = 300
"""Findings on a page."""
ALL_SIZE = 10_000
"""Findings on a page that is to be printed."""
CONTENT_SHOWN = 2_000
"""Characters of a finding's text in a list; its own page has more."""
CONTENT_OF_ONE_SHOWN = 200_000
LINES_SHOWN = 12
"""Lines of a finding's metadata in a list."""
_HITS_SHOWN = 3
_MARKS_SHOWN = 600
"""Marks of a whole page."""
_HITS_OF_ONE_SHOWN = 500
_BEFORE_HIT = 300


@dataclass(frozen=True, slots=True)
class Entry:
    """One finding, to be read."""

    position: int
    """Among all findings, from 0 on; it is in its address."""
    start: str
    end: str
    speaker: str
    """Who says it; empty if that is not known."""
    content: Markup
    is_cut: bool
    """Whether its own page shows more of it."""
    details: Markup
    """Its metadata but for the speaker, a line each."""
    has_hit_in_details: bool


@dataclass(frozen=True, slots=True)
class Group:
    """The findings of one module on a page."""

    number: int
    name: str
    is_transcript: bool
    total: int
    """Selected ones of the module, on all pages."""
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding, shown alone."""

    entry: Entry
    module: str
    number: int
    """The module's."""
    metadata: Markup | None
    quote: str


class EntryWriter:
    """Makes entries of findings, with as many marks as a page may have."""

    def __init__(self, index: ReportIndex, words: Sequence[str], *, tenths: bool) -> None:
        self._index = index
        self._words = words
        self._tenths = tenths
        self._marks_left = _MARKS_SHOWN

    def groups(self, positions: Sequence[int], totals: Sequence[int]) -> list[Group]:
        """The findings at these positions by module; ``totals`` has a count for each module."""
        module_of = self._index.module_of
        ordered = sorted(positions, key=lambda position: module_of[position])
        return [
            Group(
                number=number,
                name=self._index.modules[number],
                is_transcript=is_transcript(self._index.modules[number]),
                total=totals[number],
                entries=[self._entry(position) for position in members],
            )
            for number, members in groupby(ordered, key=lambda position: module_of[position])
        ]

    def finding(self, position: int, download: str) -> Finding:
        """The finding at a position, with all that may be shown of it."""
        segment = self._index.segment(position)
        entry = self._entry(position, CONTENT_OF_ONE_SHOWN, _HITS_OF_ONE_SHOWN)
        metadata = segment.metadata
        return Finding(
            entry=entry,
            module=segment.module,
            number=self._index.module_of[position],
            metadata=None if metadata is None else metadata_html(metadata, download),
            quote=self._quote(entry, segment),
        )

    def _entry(
        self, position: int, shown: int = CONTENT_SHOWN, hits_max: int = _HITS_SHOWN
    ) -> Entry:
        segment = self._index.segment(position)
        metadata = segment.metadata
        speaker = speaker_of(metadata)
        if speaker and isinstance(metadata, dict):
            del metadata["speaker"]
        lines, has_more = lines_of(metadata, LINES_SHOWN)
        content, is_cut = self._content(segment.content, shown, hits_max)
        details = "\n".join(lines)
        marks = self._hits(details, hits_max) if lines else []
        return Entry(
            position=position,
            start=self.clock(segment.start_time),
            end=self.clock(segment.end_time),
            speaker=speaker,
            content=content,
            is_cut=is_cut or has_more,
            details=marked(details, marks),
            has_hit_in_details=bool(marks),
        )

    def clock(self, seconds: float) -> str:
        """A moment of the video: ``0:01.2``, ``12:34``, ``1:02:03``."""
        return clock_text(seconds, tenths=self._tenths)

    def _content(self, content: str, shown: int, hits_max: int) -> tuple[Markup, bool]:
        """The text with its hits, or as much around the first of them as is shown."""
        if len(content) <= shown:
            return marked(content, self._hits(content, hits_max)), False
        first = find_hits(content[:CONTENT_OF_ONE_SHOWN], self._words, 1) if self._words else []
        begin = max(first[0][0] - _BEFORE_HIT, 0) if first else 0
        piece = content[begin : begin + shown]
        text = marked(piece, self._hits(piece, hits_max))
        return Markup("{}{}\u2026").format("\u2026" if begin else "", text), True

    def _hits(self, text: str, hits_max: int) -> list[tuple[int, int]]:
        if not self._words or self._marks_left <= 0:
            return []
        hits = find_hits(text, self._words, hits_max)
        self._marks_left -= len(hits)
        return hits

    def _quote(self, entry: Entry, segment: StoredSegment) -> str:
        """The finding as it is quoted: text, speaker, video and time."""
        text = " ".join(segment.content[:CONTENT_SHOWN].split())
        said = f"\u201c{text}\u201d \u2014 " if text else ""
        speaker = f"{entry.speaker}, " if entry.speaker else ""
        return f"{said}{speaker}{self._index.video.name}, {entry.start}"
