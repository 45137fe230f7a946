"""A report, read once so that its pages and searches need not read it again.

Columns instead of objects: 100,000 findings are some megabytes and no work for the garbage
collector. Findings that a page shows are decoded anew, by their positions in the stored analysis.
"""

from array import array
from collections.abc import Iterator, Sequence

from service.domain.json_scanner import WINDOW
from service.domain.normal_form import nfc
from service.domain.piece_writer import json_array
from service.domain.segments import (
    SegmentText,
    StoredSegment,
    decode_segment,
    decode_text,
    locate_segments,
    speaker_in,
)
from service.domain.videos import PublicVideo
from service.web.pages.cards import Card
from service.web.pages.report_query import ReportQuery
from service.web.pages.search import FoldedText

MOMENT = 0.001
"""Seconds: the shortest time that can be looked at."""
_SPEAKERS_MAX = 10_000
"""Speakers of a report; findings of further ones have none."""
_COLUMN_BYTES = 48  # of a finding, in all columns
_FOLDED_SHARE = 2
"""The folded text may take this fraction of the analysis; a longer one is made for each search."""


class ReportIndex:
    """The findings of a report that a link shows, by position: 0, 1, 2 in the order of time."""

    def __init__(self, video: PublicVideo, stored: bytes) -> None:
        """Read a stored analysis. The time is linear in it, in short steps."""
        self.video = video
        self.stored = stored
        self.starts, self.ends = array("d"), array("d")
        self.modules: list[str] = []
        self.positions: list[array[int]] = []
        """Of each module, the positions of its findings."""
        self.module_of = array("I")
        self.speakers: list[str] = [""]
        self.speaker_of = array("I")
        self.analysed_at = ""
        self._spans = array("Q")
        self._folded: FoldedText | None = None
        self.cards: list[Card] | None = None
        """The overview of all findings, once it was asked for."""
        self._read()
        last = max(video.duration or 0.0, max(self.ends, default=0.0))
        self.duration = last if last >= MOMENT else 1.0
        self.size = len(stored) + len(stored) // _FOLDED_SHARE + len(self) * _COLUMN_BYTES
        """Bytes, about, with the folded text."""

    def __len__(self) -> int:
        return len(self.starts)

    def _read(self) -> None:
        modules: dict[str, int] = {}
        speakers = {"": 0}
        for position, (segment, span) in enumerate(locate_segments(self.stored)):
            self.starts.append(segment.start_time)
            self.ends.append(segment.end_time)
            self._spans.extend(span)
            number = modules.setdefault(segment.module, len(modules))
            if number == len(self.positions):
                self.positions.append(array("I"))
            self.positions[number].append(position)
            self.module_of.append(number)
            name = speaker_in(bytes(segment.raw_metadata))
            if name not in speakers and len(speakers) > _SPEAKERS_MAX:
                name = ""
            self.speaker_of.append(speakers.setdefault(name, len(speakers)))
            self.analysed_at = max(self.analysed_at, segment.created_at)
        self.modules, self.speakers = list(modules), list(speakers)

    def segment(self, position: int) -> StoredSegment:
        """The finding at a position."""
        return decode_segment(self.raw(position))

    def text(self, position: int) -> SegmentText:
        """What the finding at a position says."""
        return decode_text(self.raw(position))

    def raw(self, position: int) -> bytes:
        """The finding at a position, as it is stored."""
        return self.stored[self._spans[2 * position] : self._spans[2 * position + 1]]

    def stored_of(self, positions: Sequence[int]) -> bytes:
        """The findings at these positions as a stored analysis, each byte for byte."""
        return json_array(map(self.raw, positions))

    def _chunks(self) -> Iterator[bytes]:
        """The stored analysis in smaller arrays, of about WINDOW bytes and one finding at most."""
        begin = 0
        for position in range(len(self)):
            start, end = self._spans[2 * begin], self._spans[2 * position + 1]
            if end - start >= WINDOW or position == len(self) - 1:
                yield b"[%b]" % self.stored[start:end]
                begin = position + 1

    def numbers_of(self, query: ReportQuery) -> set[int]:
        """The numbers of the modules that a query selects; all of them if it selects none."""
        if not query.modules:
            return set(range(len(self.modules)))
        names = {*query.modules, *map(nfc, query.modules)}
        return {number for number, name in enumerate(self.modules) if name in names}

    def select(self, query: ReportQuery) -> Sequence[int]:
        """The positions of the findings that a query selects, in the order of time."""
        positions: Sequence[int] = range(len(self))
        if query.words:
            positions = self._search(query.words)
        if query.modules:
            numbers, module_of = self.numbers_of(query), self.module_of
            positions = [position for position in positions if module_of[position] in numbers]
        if query.speaker:
            numbers, speaker_of = self._speaker_numbers(query.speaker), self.speaker_of
            positions = [position for position in positions if speaker_of[position] in numbers]
        if query.start is not None or query.end is not None:
            positions = self.within(positions, query.start, query.end)
        return positions

    def _speaker_numbers(self, speaker: str) -> set[int]:
        return {number for number, name in enumerate(self.speakers) if name == speaker}

    def within(
        self, positions: Sequence[int], start: float | None, end: float | None
    ) -> Sequence[int]:
        """The positions whose findings are seen between two moments."""
        starts, ends = self.starts, self.ends
        begin = -1.0 if start is None else start
        until = self.duration + 1 if end is None else end
        return [
            position
            for position in positions
            if starts[position] < until and (ends[position] > begin or starts[position] >= begin)
        ]

    def _search(self, words: Sequence[str]) -> Sequence[int]:
        folded = self._folded
        if folded is None:
            folded = FoldedText(self._chunks())
            if folded.size <= len(self.stored) // _FOLDED_SHARE:
                self._folded = folded
        return folded.places_of(words)
