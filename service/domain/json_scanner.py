"""Where the values of a large JSON text begin and end, found in short steps.

``msgspec`` holds the interpreter lock for a whole decode: 32 MiB of empty lists take 6 s, in which
nothing else runs. So a large text is divided first, and its values are decoded one by one. No step
here reads more than WINDOW bytes, and the lock is free between steps.

The patterns are linear: possessive quantifiers (``*+``, ``++``) give nothing back. A byte is read
at most four times: as part of a container that goes on behind the window, and of those around it.
"""

import re
from collections.abc import Iterator

from service.domain.errors import InvalidError
from service.domain.json_errors import malformed

WINDOW = 64 * 2**10
"""Bytes: the most that one step reads, about 1 ms."""

# Outside strings only the characters of punctuation, numbers, true, false and null are read.
_FLAT_PART = rb'[\s,:0-9.eE+\-aflnrstu]++|"(?:[^"\\]++|\\.)*+"'


def _container_of(part: bytes) -> bytes:
    return rb"\[(?:%b)*+\]|\{(?:%b)*+\}" % (part, part)


# One pattern for a whole segment with two levels of metadata: a call of ``match`` a bracket takes
# three times as long.
_LEAF = _container_of(_FLAT_PART)
_TWO_LEVELS = _container_of(rb"%b|%b" % (_FLAT_PART, _LEAF))
_THREE_LEVELS = _container_of(rb"%b|%b" % (_FLAT_PART, _TWO_LEVELS))
_SHALLOW = re.compile(_THREE_LEVELS, re.DOTALL)
# All up to a bracket of a deeper level, or up to a value that goes on behind the window.
_FLAT = re.compile(rb"(?:%b|%b)*+" % (_FLAT_PART, _THREE_LEVELS), re.DOTALL)
_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_SCALAR = re.compile(rb"[0-9.eE+\-aflnrstu]*+")
_SPACE = re.compile(rb"[ \t\n\r]*+")
_QUOTE, _COMMA, _COLON = b'",:'
_ARRAY, _OBJECT = b"[{"
_OPENING, _CLOSING = frozenset(b"[{"), frozenset(b"]}")
_END_OF_ARRAY, _END_OF_OBJECT = b"]}"

Span = tuple[int, int]
"""The first byte of a value, and the byte after its last."""


class JsonScanner:
    """Reads ``body`` from ``position`` on. All methods raise MalformedError.

    InvalidError is raised after ``containers_max`` steps, each of which reads an array or object
    and perhaps those within it.
    """

    def __init__(self, body: bytes, containers_max: int | None = None) -> None:
        self.body = body
        self.position = 0
        self._containers_left = len(body) if containers_max is None else containers_max
        self._containers_max = containers_max

    def peek(self) -> int:
        """The next byte that is not white space, not read yet; -1 at the end."""
        body, end = self.body, len(self.body)
        position = self.position
        while position < end and body[position] in b" \t\n\r":
            position = _SPACE.match(body, position, position + WINDOW).end()  # type: ignore[union-attr]  # matches always
        self.position = position
        return body[position] if position < end else -1

    def value(self, size_max: int | None = None) -> Span | None:
        """Read a value. Returns None, perhaps in its midst, if it has over ``size_max`` bytes."""
        char = self.peek()
        start = self.position
        limit = len(self.body) if size_max is None else start + size_max
        if char in _OPENING:
            if shallow := _SHALLOW.match(self.body, start, start + WINDOW):
                self._count_container()
                self.position = shallow.end()
            else:
                self._container(limit)
        elif char == _QUOTE:
            self._string(limit)
        else:
            self._windows(_SCALAR, limit)
            if self.position == start:
                raise malformed(self.body, start)
        return (start, self.position) if self.position <= limit else None

    def elements(self, size_max: int | None = None) -> Iterator[Span | None]:
        """Read an array, a value at a time, as ``value`` does."""
        self._expect(_ARRAY)
        if self.peek() == _END_OF_ARRAY:
            self.position += 1
            return
        while True:
            yield self.value(size_max)
            if not self._goes_on(_END_OF_ARRAY):
                return

    def members(self) -> Iterator[Span]:
        """Read an object: the name of each member. The caller reads the value that follows."""
        self._expect(_OBJECT)
        if self.peek() == _END_OF_OBJECT:
            self.position += 1
            return
        while True:
            if self.peek() != _QUOTE:
                raise malformed(self.body, self.position)
            start = self.position
            self._string(len(self.body))
            end = self.position
            self._expect(_COLON)
            yield start, end
            if not self._goes_on(_END_OF_OBJECT):
                return

    def _expect(self, char: int) -> None:
        if self.peek() != char:
            raise malformed(self.body, self.position)
        self.position += 1

    def _goes_on(self, closing: int) -> bool:
        char = self.peek()
        if char not in {_COMMA, closing}:
            raise malformed(self.body, self.position)
        self.position += 1
        return char == _COMMA

    def _container(self, limit: int) -> None:
        body, end, position = self.body, len(self.body), self.position
        closing = bytearray()
        while position <= limit:
            before = position
            position = _FLAT.match(body, position, position + WINDOW).end()  # type: ignore[union-attr]  # matches always
            char = body[position] if position < end else -1
            if char in _OPENING:
                self._count_container()
                closing.append(char + 2)  # "[" and "]", "{" and "}" are two apart in ASCII
                position += 1
            elif char in _CLOSING:
                if closing.pop() != char:
                    break
                position += 1
                if not closing:
                    self.position = position
                    return
            elif char == _QUOTE:
                self.position = position
                self._string(limit)
                position = self.position
            elif position == before:
                break
        else:
            self.position = position
            return
        raise malformed(body, position)

    def _count_container(self) -> None:
        self._containers_left -= 1
        if self._containers_left < 0:
            raise InvalidError(
                f"The body holds more than {self._containers_max} arrays and objects."
            )

    def _string(self, limit: int) -> None:
        self.position += 1
        self._windows(_STRING, limit)
        if self.position > limit:
            return
        if self.position >= len(self.body) or self.body[self.position] != _QUOTE:
            raise malformed(self.body, self.position)
        self.position += 1

    def _windows(self, pattern: re.Pattern[bytes], limit: int) -> None:
        """Read all that matches, and stop soon after ``limit``."""
        before = -1
        while before < self.position <= limit:
            before = self.position
            match = pattern.match(self.body, before, before + WINDOW)
            self.position = match.end()  # type: ignore[union-attr]  # matches always
