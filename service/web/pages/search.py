"""The search in a report: folded text of all findings, in blocks that are read in one step each."""

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import msgspec

from service.domain.segments import SegmentText, decode_texts
from service.web.pages.folding import fold
from service.web.pages.metadata_lines import texts_of

_SEPARATOR = "\0"
_NAMES = re.compile(rb'"(?:[^"\\]++|\\.)*+"\s*+:')
_PUNCTUATION = bytes.maketrans(b'{}[]",', b" " * 6)
_PLAIN_MAX = 64 * 2**10
"""Bytes of metadata that one pattern takes apart at once."""


class FoldedText:
    """What the findings of an analysis say: content, and the values of their metadata."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        """Read an analysis in chunks, each an array of its segments."""
        self._blocks: list[tuple[bytes, array[int]]] = []
        """Texts, each of which ends in a separator, and where each ends."""
        for chunk in chunks:
            self._add([_text_of(segment) for segment in decode_texts(chunk)])
        self.size = sum(len(text) + 4 * len(ends) for text, ends in self._blocks)

    def _add(self, texts: list[str]) -> None:
        folded = fold(_SEPARATOR.join(texts)).encode(errors="replace")
        lengths = (len(text) + 1 for text in folded.split(b"\0"))
        self._blocks.append((folded, array("I", accumulate(lengths))))

    def places_of(self, words: Sequence[str]) -> list[int]:
        """The positions of the findings that have all of these folded words."""
        if not words:
            return []
        first, *others = sorted((word.encode(errors="replace") for word in words), key=len)[::-1]
        return list(self._places_of(first, others))

    def _places_of(self, first: bytes, others: Sequence[bytes]) -> Iterator[int]:
        before = 0
        for text, ends in self._blocks:
            number, at = 0, text.find(first)
            while at >= 0:
                number = bisect_right(ends, at, number)
                begin, end = ends[number - 1] if number else 0, ends[number]
                if all(text.find(word, begin, end) >= 0 for word in others):
                    yield before + number
                at = text.find(first, end)
            before += len(ends)


def _text_of(segment: SegmentText) -> str:
    """The content and the values of the metadata, in one line."""
    raw = bytes(segment.raw_metadata)
    if raw == b"null":
        text = segment.content
    elif b"\\" in raw or len(raw) > _PLAIN_MAX:
        values: Any = msgspec.json.decode(raw)
        text = " ".join((segment.content, *texts_of(values)))
    else:
        values = _NAMES.sub(b" ", raw).translate(_PUNCTUATION)
        text = f"{segment.content} {values.decode()}"
    if not text.isprintable():  # line breaks and separators
        text = " ".join(text.replace(_SEPARATOR, " ").split())
    return text
