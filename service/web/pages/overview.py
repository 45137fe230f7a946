"""What a person would want to know of each module, at a glance.

The rules look at the shape of findings and not at the modules' names, so they hold for modules that
nobody has seen: a value that recurs is worth counting, a number that moves is worth a plot.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import NoneType

import msgspec

from service.domain.segments import SegmentText
from service.web.pages.cards import Card, Share, Tally
from service.web.pages.metadata_lines import Value, scalar_text, values_of
from service.web.pages.plots import Numbers, Window, is_crowded
from service.web.pages.report_index import ReportIndex

CARDS_MAX = 60
"""Modules that have a card."""
PLOTS_MAX = 3
"""Plots of one module, and of the only one that is looked at."""
PLOTS_OF_ONE_MAX = 12
TALLIES_MAX = 3
TALLIES_OF_ONE_MAX = 8
_SHARES_MAX = 4
_SHARE_MIN = 5
"""Percent of the findings that the most frequent value has, if it is told."""
_NAMES_MAX = 40
"""Names of members of one module whose values are counted."""
_DISTINCT_MAX = 300
"""Different values of one name; with more it is none that recurs."""
_VALUES_OF_ONE_MAX = 100
"""Values of one finding that are counted."""
_VALUE_MAX = 60
"""Characters of a value that may recur."""
_WORDS_A_MINUTE = 220
_SIGNS_A_MINUTE = 400
_LONG_WORD = 14
"""Characters of a word, in the mean, beyond which a script has no spaces between words."""
_NOT_SEEN: Counter[str] = Counter()
_decode = msgspec.json.Decoder().decode
_TRANSCRIPTS = {"transcription", "transcript", "subtitles", "captions", "speech"}


def overview(index: ReportIndex, positions: Sequence[int], window: Window) -> list[Card]:
    """A card for each module among the findings at ``positions``. The time is linear in them."""
    by_module: dict[int, list[int]] = {}
    for position in positions:
        by_module.setdefault(index.module_of[position], []).append(position)
    is_only = len(by_module) == 1
    return [
        _card(index, number, members, window, is_only=is_only)
        for number, members in sorted(by_module.items())[:CARDS_MAX]
    ]


def is_transcript(module: str) -> bool:
    """Whether a module's findings are speech, shown as running text."""
    return module.lower() in _TRANSCRIPTS


def _card(
    index: ReportIndex, number: int, positions: Sequence[int], window: Window, *, is_only: bool
) -> Card:
    name = index.modules[number]
    facts = _Facts(Numbers(window, is_crowded=is_crowded(len(positions))), is_transcript(name))
    starts, ends, speaker_of = index.starts, index.ends, index.speaker_of
    for position in positions:
        start, end = starts[position], ends[position]
        facts.add(position, (start + end) / 2, index.text(position))
        if speaker := speaker_of[position]:
            facts.say(index.speakers[speaker], end - start)
    is_in_signs = facts.characters > facts.words * _LONG_WORD
    words = facts.characters if is_in_signs else facts.words
    return Card(
        number=number,
        name=name,
        count=len(positions),
        covers=_covers(index, positions, window),
        words=words,
        is_in_signs=is_in_signs,
        minutes=max(round(words / (_SIGNS_A_MINUTE if is_in_signs else _WORDS_A_MINUTE)), 1),
        speakers=facts.speakers(),
        tallies=facts.tallies(TALLIES_OF_ONE_MAX if is_only else TALLIES_MAX),
        plots=facts.numbers.plots(PLOTS_OF_ONE_MAX if is_only else PLOTS_MAX),
    )


def _covers(index: ReportIndex, positions: Sequence[int], window: Window) -> int | None:
    """Percent of the window that findings cover, overlaps counted once; None for moments."""
    covered, until = 0.0, window.start
    for position in positions:
        start, end = max(index.starts[position], until), min(index.ends[position], window.end)
        if end > start:
            covered += end - start
            until = end
    return min(round(covered * 100 / window.length), 100) if covered else None


@dataclass(slots=True)
class _Facts:
    """What is counted while the findings of a module pass by."""

    numbers: Numbers
    is_speech: bool
    words: int = 0
    characters: int = 0
    _seconds: Counter[str] = field(default_factory=Counter)
    """What each speaker says, in seconds."""
    _counts: dict[str, Counter[str] | None] = field(default_factory=dict)
    """Values by name; None if they are too many, or too long, to recur."""

    def add(self, position: int, at: float, text: SegmentText) -> None:
        """Take a finding, by its position, the middle of its time, and what it says."""
        if self.is_speech:
            self.words += len(text.content.split())
            self.characters += len(text.content)
        elif self._counts.get("", self) is not None:
            self._count("", text.content[: _VALUE_MAX + 1])
        metadata = _decode(text.raw_metadata)
        if type(metadata) is not dict:
            self._count_all(Value("", metadata))
            return
        for number, (name, value) in enumerate(metadata.items()):
            cls = type(value)
            if cls is float or cls is int:
                self.numbers.add(name, position, at, value)
            elif number < _VALUES_OF_ONE_MAX and cls is not NoneType:
                if cls is str:
                    self._count(name, value)
                else:
                    self._count_all(Value(name, value))

    def say(self, speaker: str, seconds: float) -> None:
        """Take the time that a speaker speaks."""
        if len(self._seconds) < _DISTINCT_MAX or speaker in self._seconds:
            self._seconds[speaker] += max(seconds, 0.1)  # type: ignore[assignment]  # counts may be fractions

    def _count_all(self, of: Value) -> None:
        """Count the texts, and the answers to yes or no, in a value of any depth."""
        for name, value in islice(values_of(of), _VALUES_OF_ONE_MAX):
            if isinstance(value, str):
                self._count(name, value)
            elif isinstance(value, bool):
                self._count(name, scalar_text(value))

    def _count(self, name: str, value: str) -> None:
        if not value:
            return
        counts = self._counts.get(name, _NOT_SEEN)
        if counts is None:
            return
        if counts is _NOT_SEEN:
            if len(self._counts) == _NAMES_MAX:
                return
            counts = self._counts[name] = Counter()
        if len(value) > _VALUE_MAX or len(counts) == _DISTINCT_MAX:
            self._counts[name] = None
        else:
            counts[value] += 1

    def speakers(self) -> Tally | None:
        """Who speaks, by time."""
        return _tally("speaker", self._seconds) if self._seconds else None

    def tallies(self, limit: int) -> list[Tally]:
        """The names whose values recur, those that tell findings apart first.

        The content has no name. It comes last, and not at all if some metadata says the same.
        """
        recurring = [
            (name, counts)
            for name, counts in self._counts.items()
            if counts and name != "speaker" and _recurs(counts)
        ]
        recurring.sort(key=lambda item: (len(item[1]) == 1, not item[0]))
        tallies = [
            (name, counts)
            for position, (name, counts) in enumerate(recurring)
            if name or all(_shape(counts) != _shape(other) for _, other in recurring[:position])
        ]
        return [_tally(name, counts) for name, counts in tallies[:limit]]


def _recurs(counts: Counter[str]) -> bool:
    """Whether the most frequent value is frequent enough to be told."""
    [(_, highest)] = counts.most_common(1)
    return highest > 1 and highest * 100 >= counts.total() * _SHARE_MIN


def _shape(counts: Counter[str]) -> list[int]:
    """How often the values are there, whatever they are: another name for them has the same."""
    return sorted(counts.values())


def _tally(name: str, counts: Counter[str]) -> Tally:
    total = sum(counts.values())
    shares = [
        Share(value, count, round(count * 100 / total))
        for value, count in counts.most_common(_SHARES_MAX)
    ]
    return Tally(name, shares, len(counts) - len(shares))
