"""Where the values of a large JSON text begin and end, found in short steps.

``msgspec`` holds the interpreter lock for a whole decode: 32 MiB of empty lists take 6 s, in which
nothing else runs. So a large text is divided first, and its values are decoded one by one. No step
here reads more than WINDOW bytes, and the lock is free between steps.

The patterns are linear: possessive quantifiers (``*+``, ``++``) give nothing back.
"""

import re
from collections.abc import Iterator

from service.domain.errors import InvalidError, MalformedError

WINDOW = 64 * 2**10
"""Bytes: the most that one step reads, about 1 ms."""

# All up to the next bracket, or up to a string that goes on behind the window. Outside strings only
# the characters of punctuation, numbers, true, false and null are read.
_FLAT = re.compile(rb'(?:[\s,:0-9.eE+\-aflnrstu]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_SCALAR = re.compile(rb"[0-9.eE+\-aflnrstu]*+")
_SPACE = re.compile(rb"[ \t\n\r]*+")
_QUOTE, _COMMA, _COLON = b'",:'
_ARRAY, _OBJECT = b"[{"
_OPENING, _CLOSING = frozenset(b"[{"), frozenset(b"]}")
_END_OF_ARRAY, _END_OF_OBJECT = b"]}"

Span = tuple[int, int]
"""The first byte of a value, and the byte after its last."""


def malformed() -> MalformedError:
    """The error of a body that is not JSON."""
    return MalformedError("The body is not valid JSON.")


class JsonScanner:
    """Reads ``body`` from ``position`` on. All methods raise MalformedError.

    InvalidError is raised if there are more than ``containers_max`` arrays and objects.
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
        """Read a value. Returns None, in its midst, if it has more than ``size_max`` bytes."""
        char = self.peek()
        start = self.position
        limit = len(self.body) if size_max is None else start + size_max
        if char in _OPENING:
            self._container(limit)
        elif char == _QUOTE:
            self._string(limit)
        else:
            self._windows(_SCALAR, limit)
            if self.position == start:
                raise malformed()
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
                raise malformed()
            start = self.position
            self._string(len(self.body))
            end = self.position
            self._expect(_COLON)
            yield start, end
            if not self._goes_on(_END_OF_OBJECT):
                return

    def _expect(self, char: int) -> None:
        if self.peek() != char:
            raise malformed()
        self.position += 1

    def _goes_on(self, closing: int) -> bool:
        char = self.peek()
        if char not in {_COMMA, closing}:
            raise malformed()
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
        raise malformed()

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
            raise malformed()
        self.position += 1

    def _windows(self, pattern: re.Pattern[bytes], limit: int) -> None:
        """Read all that matches, and stop soon after ``limit``."""
        before = -1
        while before < self.position <= limit:
            before = self.position
            match = pattern.match(self.body, before, before + WINDOW)
            self.position = match.end()  # type: ignore[union-attr]  # matches always
