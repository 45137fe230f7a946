"""What a viewer can take along: the analysis as JSON and CSV, the transcript as WebVTT."""

import csv
import io
import re
from collections.abc import Iterable

import msgspec

from service.domain.videos import PublicVideo, Segment
from service.web.pages.report_view import is_transcript

_COLUMNS = ("id", "module", "start_time", "end_time", "content", "metadata")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_CUE_MIN = 0.001


def as_json(video: PublicVideo, segments: bytes) -> bytes:
    """The report as a ReportDocument in JSON; ``segments`` is JSON already."""
    return b'{"video":%b,"segments":%b}' % (msgspec.json.encode(video), segments)


def as_csv(segments: Iterable[Segment]) -> bytes:
    """One line a segment; the metadata is JSON text in a cell of its own."""
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(_COLUMNS)
    for segment in segments:
        metadata = (
            "" if segment.metadata is None else msgspec.json.encode(segment.metadata).decode()
        )
        lines.writerow(
            (
                _inert(segment.id),
                _inert(segment.module),
                segment.start_time,
                segment.end_time,
                _inert(segment.content),
                _inert(metadata),
            )
        )
    return text.getvalue().encode()


def _inert(cell: str) -> str:
    """A text that a spreadsheet takes for one: what looks like a formula gets a quote first."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def as_webvtt(segments: Iterable[Segment]) -> bytes:
    """The transcript as captions; without a transcript, captions without a cue."""
    cues = ["WEBVTT"]
    for segment in segments:
        if is_transcript(segment.module) and segment.content.strip():
            end = max(segment.end_time, segment.start_time + _CUE_MIN)
            cues.append(f"{_cue_time(segment.start_time)} --> {_cue_time(end)}\n{_cue(segment)}")
    return ("\n\n".join(cues) + "\n").encode()


def _cue(segment: Segment) -> str:
    lines = (line.strip() for line in segment.content.splitlines())
    text = "\n".join(line for line in lines if line)  # an empty line would end the cue
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cue_time(seconds: float) -> str:
    minutes, millis = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{millis // 1000:02}.{millis % 1000:03}"


def file_name(video_name: str, ending: str) -> str:
    """A plain ASCII file name for a download, after the video's name."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", video_name).strip("-.")[:80] or "report"
    return f"{stem}.{ending}"
