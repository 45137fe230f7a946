"""Transcripts as captions: WebVTT and SubRip (SRT)."""

from collections.abc import Callable, Collection, Iterable, Iterator

from service.domain.normal_form import nfc
from service.domain.piece_writer import PieceWriter
from service.domain.segments import StoredSegment, speaker_of
from service.domain.videos import Segment
from service.web.pages.overview import is_transcript

AnySegment = Segment | StoredSegment
Write = Callable[[Iterable[AnySegment], Collection[str] | None], bytes]


def as_webvtt(segments: Iterable[AnySegment], modules: Collection[str] | None = None) -> bytes:
    """The segments of ``modules``, by default of the first transcript, as WebVTT.

    Without such segments there is no cue.
    """
    text = PieceWriter()
    text.write(b"WEBVTT\n")
    for segment in _spoken(segments, modules):
        start, end = _milliseconds(segment)
        cue = f"\n{_time(start, '.')} --> {_time(end, '.')}\n{_webvtt_text(segment)}\n"
        text.write(cue.encode())
    return text.getvalue()


def as_srt(segments: Iterable[AnySegment], modules: Collection[str] | None = None) -> bytes:
    """The same as SubRip: cues are numbered from 1 on, and lines end in CR LF."""
    text = PieceWriter()
    for number, segment in enumerate(_spoken(segments, modules), 1):
        start, end = _milliseconds(segment)
        lines = _srt_text(segment).replace("\n", "\r\n")
        cue = f"{number}\r\n{_time(start, ',')} --> {_time(end, ',')}\r\n{lines}\r\n\r\n"
        text.write(cue.encode())
    return text.getvalue()


def _spoken(
    segments: Iterable[AnySegment], modules: Collection[str] | None
) -> Iterator[AnySegment]:
    """The segments with text of these modules, in their order."""
    names = set() if modules is None else {*modules, *map(nfc, modules)}
    for segment in segments:
        if modules is None and not names and is_transcript(segment.module):
            names.add(segment.module)
        if segment.module in names and segment.content.strip():
            yield segment


def _milliseconds(segment: AnySegment) -> tuple[int, int]:
    """Whole milliseconds: a parser rejects a file in which a cue ends when it starts."""
    start = round(segment.start_time * 1000)
    return start, max(round(segment.end_time * 1000), start + 1)


def _lines(segment: AnySegment) -> str:
    lines = (line.strip() for line in segment.content.splitlines())
    return "\n".join(line for line in lines if line)  # an empty line would end the cue


def _webvtt_text(segment: AnySegment) -> str:
    text, speaker = _escaped(_lines(segment)), _escaped(speaker_of(segment.metadata))
    return f"<v {speaker}>{text}" if speaker else text


def _srt_text(segment: AnySegment) -> str:
    """The text with its speaker before it: SubRip has no other place for one.

    It has no escapes either. Players take ``<`` for the begin of markup, ``{`` for that of a
    position, and ``-->`` for times: a word joiner behind them is seen by none and ends all three.
    """
    text, speaker = _lines(segment), speaker_of(segment.metadata)
    text = f"{speaker}: {text}" if speaker else text
    for mark in ("<", "{", "--"):
        text = text.replace(mark, f"{mark}\u2060")
    return text


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _time(milliseconds: int, mark: str) -> str:
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{mark}{milliseconds % 1000:03}"
