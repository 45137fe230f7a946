"""A stored analysis, read in short steps: decoded, or reduced to some of its modules.

The stored form is one JSON array of up to 32 MiB. Decoding it in one call holds the interpreter
lock for 0.3 s, so it is divided first: see json_scanner.
"""

from collections.abc import Container, Iterator
from io import BytesIO
from typing import Any

import msgspec

from service.domain.json_scanner import WINDOW, JsonScanner

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


def speaker_of(metadata: object) -> str:
    """Who says a segment, by its metadata: one line of at most SPEAKER_MAX characters, or none."""
    name = metadata.get("speaker") if isinstance(metadata, dict) else None
    return " ".join(name[:SPEAKER_MAX].split()) if isinstance(name, str) else ""


class _ModuleOnly(msgspec.Struct):
    module: str


_segments = msgspec.json.Decoder(list[StoredSegment])
_modules = msgspec.json.Decoder(list[_ModuleOnly])
_raw = msgspec.json.Decoder(list[msgspec.Raw])


def decode_segments(stored: bytes) -> Iterator[StoredSegment]:
    """The segments of a stored analysis."""
    for chunk in _chunks(stored):
        yield from _segments.decode(chunk)


def select_modules(stored: bytes, modules: Container[str]) -> bytes:
    """The stored analysis with only the segments of ``modules``, each byte for byte."""
    kept = BytesIO()  # returns what was written without a copy, as the lock is held for that
    kept.write(b"[")
    for chunk in _chunks(stored):
        for raw, segment in zip(_raw.decode(chunk), _modules.decode(chunk), strict=True):
            if segment.module in modules:
                if kept.tell() > 1:
                    kept.write(b",")
                kept.write(raw)
    kept.write(b"]")
    return kept.getvalue()


def _chunks(stored: bytes) -> Iterator[bytes]:
    """The array in smaller arrays, of WINDOW bytes and one element at most."""
    start = end = None
    for span in JsonScanner(stored).elements():
        if span is None:
            continue  # no size was bounded
        if start is None:
            start = span[0]
        end = span[1]
        if end - start >= WINDOW:
            yield b"[%b]" % stored[start:end]
            start = None
    if start is not None:
        yield b"[%b]" % stored[start:end]
