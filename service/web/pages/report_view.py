"""A report as its page shows it: parts, modules, entries, in words and numbers for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from service.domain.segments import StoredSegment, speaker_of
from service.domain.videos import PublicVideo
from service.web.pages.metadata_view import metadata_html
from service.web.pages.timeline import Bar, Placed, Plot, Timeline, plots, timeline

PART_SIZE = 2_000
"""Segments on one page. A longer report is read in parts; its picture always shows the whole."""

_TITLE_MAX = 120
_HINT_READ = 1_000  # characters of a content that a tooltip is made of
_TENTHS_BELOW = 600.0
_TENTHS_ON_AXIS_BELOW = 6.0
_KEYBOARD_STOPS = 100
_LONG = 200
_TRANSCRIPTS = {"transcription", "transcript", "subtitles", "captions", "speech"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One segment, to be read."""

    anchor: str
    start: str
    end: str
    speaker: str
    """Who says it; empty if that is not known."""
    content: str
    metadata: Markup | None


@dataclass(frozen=True, slots=True)
class Module:
    """One module's findings: all of its plots, and the entries of the part that is shown."""

    name: str
    anchor: str
    colour: int
    count: int
    is_transcript: bool
    plots: list[Plot]
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class Report:
    """All that the page of a report shows. Whatever takes time is worked out once."""

    video: PublicVideo
    expires_at: str | None
    analysed_at: str
    duration: float
    timeline: Timeline
    modules: list[Module]
    part: int
    parts: list[str]
    """The start of each part; empty if there is only one."""
    is_long: bool
    """Whether the browser should lay out only what is seen."""
    is_dense: bool
    """Whether the timeline has too many bars for the keyboard to step through."""
    transcripts: list[str]
    """The modules that are transcripts to download."""
    segments: Sequence[StoredSegment]

    def clock(self, seconds: float) -> str:
        """A moment of the video: ``0:01.2``, ``12:34``, ``1:02:03``."""
        return clock_text(seconds, tenths=self.duration < _TENTHS_BELOW)

    def tick(self, seconds: float) -> str:
        """A mark of the time axis: with tenths only where the marks are that close."""
        return clock_text(seconds, tenths=self.duration < _TENTHS_ON_AXIS_BELOW)

    def href(self, place: int) -> str:
        """The address of a segment's entry, from this page."""
        part = place // PART_SIZE + 1
        return f"#s{place}" if part == self.part else f"?part={part}#s{place}"

    def hint(self, module: str, bar: Bar) -> str:
        """The tooltip of a bar of the timeline."""
        span = f"{module} · {self.clock(bar.start)} to {self.clock(bar.end)}"
        if bar.count > 1:
            return f"{span} · {bar.count} segments"
        content = " ".join(self.segments[bar.first].content[:_HINT_READ].split())
        return f"{span} · {content[:_TITLE_MAX]}" if content else span


def lay_out(
    video: PublicVideo,
    expires_at: str | None,
    segments: Sequence[StoredSegment],
    wanted_part: int,
    download: str,
) -> Report:
    """Return the report with the part ``wanted_part``, or the nearest existing part.

    ``download`` is the address of the whole analysis. The time is linear in the segments.
    """
    placed_by_module: dict[str, list[Placed]] = {}
    for place, segment in enumerate(segments):
        placed_by_module.setdefault(segment.module, []).append((place, segment))
    last = max((segment.end_time for segment in segments), default=0.0)
    duration = max(video.duration or 0.0, last) or 1.0
    count = max((len(segments) + PART_SIZE - 1) // PART_SIZE, 1)
    part = min(max(wanted_part, 1), count)
    picture = timeline(placed_by_module, duration)
    places = range((part - 1) * PART_SIZE, min(part * PART_SIZE, len(segments)))
    entries: dict[str, list[Entry]] = {name: [] for name in placed_by_module}
    for place in places:
        entry = _entry(place, segments[place], duration, download)
        entries[segments[place].module].append(entry)
    firsts = range(0, len(segments), PART_SIZE) if count > 1 else ()
    return Report(
        video=video,
        expires_at=expires_at,
        analysed_at=max((segment.created_at for segment in segments), default=video.updated_at),
        duration=duration,
        timeline=picture,
        modules=[
            _module(number, name, placed, duration, entries[name])
            for number, (name, placed) in enumerate(placed_by_module.items())
        ],
        part=part,
        parts=[clock_text(segments[n].start_time, tenths=False) for n in firsts],
        is_long=len(places) > _LONG,
        is_dense=sum(len(row.bars) for row in picture.rows) > _KEYBOARD_STOPS,
        transcripts=list(filter(is_transcript, placed_by_module)),
        segments=segments,
    )


def _module(
    number: int, name: str, placed: list[Placed], duration: float, entries: list[Entry]
) -> Module:
    return Module(
        name=name,
        anchor=f"m{number}",
        colour=number % 8,
        count=len(placed),
        is_transcript=is_transcript(name),
        plots=plots(placed, duration),
        entries=entries,
    )


def _entry(place: int, segment: StoredSegment, duration: float, download: str) -> Entry:
    tenths = duration < _TENTHS_BELOW
    value = segment.metadata
    metadata = None if value is None else metadata_html(value, download)
    return Entry(
        anchor=f"s{place}",
        start=clock_text(segment.start_time, tenths=tenths),
        end=clock_text(segment.end_time, tenths=tenths),
        speaker=speaker_of(value),
        content=segment.content,
        metadata=metadata,
    )


def is_transcript(module: str) -> bool:
    """Whether a module's segments are speech, shown as running text."""
    return module.lower() in _TRANSCRIPTS


def clock_text(seconds: float, *, tenths: bool) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``, with tenths of a second if wanted."""
    whole, tenth = divmod(int(seconds * 10 + 1e-6), 10)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    text = f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
    return f"{text}.{tenth}" if tenths else text


def date_text(moment: str) -> str:
    """A moment in words: ``23 November 2026, 17:00 UTC``."""
    at = datetime.fromisoformat(moment)
    return f"{at.day} {at:%B} {at.year}, {at:%H:%M} UTC"


def number_text(number: float) -> str:
    """A number, short: four digits are enough beside a plot."""
    return f"{number:.4g}"
