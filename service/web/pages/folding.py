"""Text as it is searched: without case and accents. And the hits, marked in the text as it was."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache

from markupsafe import Markup, escape

_PIECE = 64 * 2**10
"""Characters that are folded at once, some 2 ms."""


_SCRIPTS_END = 0x1F000
"""No combining mark of a script lies behind it."""


@cache
def _accents() -> re.Pattern[str]:
    """All combining marks, as one class of characters. The first call takes 10 ms."""
    marks = (chr(code) for code in range(0x300, _SCRIPTS_END))
    return re.compile(f"[{''.join(mark for mark in marks if unicodedata.category(mark) == 'Mn')}]+")


_STROKES = str.maketrans({"ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "\u0131": "i"})
"""Letters that Unicode does not take apart."""


def fold(text: str) -> str:
    """Return a text without case, accents and other forms of the same letters."""
    if text.isascii():
        return text.lower()
    if len(text) > _PIECE:
        return "".join(fold(text[at : at + _PIECE]) for at in range(0, len(text), _PIECE))
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return _accents().sub("", folded).translate(_STROKES)


_fold_character = lru_cache(maxsize=4096)(fold)


def find_hits(text: str, words: Sequence[str], hits_max: int) -> list[tuple[int, int]]:
    """Where folded ``words`` are in a text: first and last position, apart and in order."""
    if text.isascii():
        folded, positions = text.lower(), range(len(text))
    else:
        pieces = [_fold_character(character) for character in text]
        folded = "".join(pieces)
        positions = [at for at, piece in enumerate(pieces) for _ in piece]  # type: ignore[assignment]  # a sequence of numbers, too
    hits: list[tuple[int, int]] = []
    for start, end in sorted(_occurrences(folded, words, hits_max)):
        first, last = positions[start], positions[end - 1] + 1
        while last < len(text) and not _fold_character(text[last]):
            last += 1  # the accent belongs to its letter
        if hits and first < hits[-1][1]:
            hits[-1] = hits[-1][0], max(last, hits[-1][1])
        else:
            hits.append((first, last))
    return hits[:hits_max]


def _occurrences(folded: str, words: Sequence[str], limit: int) -> Iterator[tuple[int, int]]:
    for word in words:
        at = folded.find(word)
        for _ in range(limit):
            if at < 0:
                break
            yield at, at + len(word)
            at = folded.find(word, at + len(word))


def marked(text: str, hits: Sequence[tuple[int, int]]) -> Markup:
    """The text as HTML, with its hits in ``mark`` elements."""
    parts: list[str] = []
    at = 0
    for start, end in hits:
        parts += (str(escape(text[at:start])), "<mark>", str(escape(text[start:end])), "</mark>")
        at = end
    parts.append(str(escape(text[at:])))
    return Markup("".join(parts))  # noqa: S704 - each text in it is escaped
