"""A stored analysis, read in short steps: decoded, or reduced to some of its modules.

The stored form is one JSON array of up to 32 MiB. Decoding it in one call holds the interpreter
lock for 0.3 s, so it is divided first: see json_scanner.
"""

from collections.abc import Container, Iterator
from typing import Any

import msgspec

from service.domain.json_scanner import WINDOW, JsonScanner, Span
from service.domain.piece_writer import json_array

SPEAKER_MAX = 100


class StoredSegment(msgspec.Struct, frozen=True, gc=False):
    """A Segment whose metadata stays JSON until it is asked for.

    Decoded, the metadata of 100,000 segments are so many objects that a pass of the garbage
    collector holds the interpreter lock for 50 ms.
    """

    id: str
    module: str
    content: str
    start_time: float
    end_time: float
    created_at: str
    raw_metadata: msgspec.Raw = msgspec.field(name="metadata")

    @property
    def metadata(self) -> Any:  # noqa: ANN401 - JSON of any type
        """The metadata, decoded anew."""
        return msgspec.json.decode(self.raw_metadata)


class _Spoken(msgspec.Struct):
    speaker: object = None


_read_spoken = msgspec.json.Decoder(_Spoken).decode


def speaker_in(raw_metadata: bytes) -> str:
    """What ``speaker_of`` returns, without the rest of the metadata."""
    if not raw_metadata.startswith(b"{") or b'"speaker"' not in raw_metadata:
        return ""
    return speaker_of({"speaker": _read_spoken(raw_metadata).speaker})


def speaker_of(metadata: object) -> str:
    """Who says a segment, by its metadata: one line of at most SPEAKER_MAX characters, or none."""
    name = metadata.get("speaker") if isinstance(metadata, dict) else None
    return " ".join(name[:SPEAKER_MAX].split()) if isinstance(name, str) else ""


class SegmentText(msgspec.Struct, frozen=True, gc=False):
    """What a segment says: its content, and its metadata as JSON."""

    content: str
    raw_metadata: msgspec.Raw = msgspec.field(name="metadata")


class _ModuleOnly(msgspec.Struct):
    module: str


_segment = msgspec.json.Decoder(StoredSegment)
_segments = msgspec.json.Decoder(list[StoredSegment])
decode_text = msgspec.json.Decoder(SegmentText).decode
decode_texts = msgspec.json.Decoder(list[SegmentText]).decode
_modules = msgspec.json.Decoder(list[_ModuleOnly])
_raw = msgspec.json.Decoder(list[msgspec.Raw])


def decode_segments(stored: bytes) -> Iterator[StoredSegment]:
    """The segments of a stored analysis."""
    for chunk, _ in _chunks(stored):
        yield from _segments.decode(chunk)


def locate_segments(stored: bytes) -> Iterator[tuple[StoredSegment, Span]]:
    """The segments of a stored analysis, each with its place in it."""
    for chunk, spans in _chunks(stored):
        yield from zip(_segments.decode(chunk), spans, strict=True)


def decode_segment(stored: bytes) -> StoredSegment:
    """One segment, as ``locate_segments`` finds it."""
    return _segment.decode(stored)


def select_modules(stored: bytes, modules: Container[str]) -> bytes:
    """The stored analysis with only the segments of ``modules``, each byte for byte."""
    return json_array(
        bytes(raw)
        for chunk, _ in _chunks(stored)
        for raw, segment in zip(_raw.decode(chunk), _modules.decode(chunk), strict=True)
        if segment.module in modules
    )


def _chunks(stored: bytes) -> Iterator[tuple[bytes, list[Span]]]:
    """The array in smaller arrays, of WINDOW bytes and one element at most, with their spans."""
    spans: list[Span] = []
    for span in JsonScanner(stored).elements():
        if span is None:
            continue  # no size was bounded
        spans.append(span)
        if span[1] - spans[0][0] >= WINDOW:
            yield b"[%b]" % stored[spans[0][0] : span[1]], spans
            spans = []
    if spans:
        yield b"[%b]" % stored[spans[0][0] : spans[-1][1]], spans
