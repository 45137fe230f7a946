"""Bytes from outside to typed values: the one place where JSON is believed.

Every way in which JSON can be wrong becomes one of two errors: MalformedError if it cannot be read,
InvalidError, naming the field, if what it says is not acceptable.
"""

import codecs
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from service.domain.errors import InvalidError, MalformedError
from service.domain.json_scanner import WINDOW, malformed

T = TypeVar("T")

_ESCAPE_LENGTH = 6  # bytes, of \\u0000


def decode_body(body: bytes, cls: type[T]) -> T:
    """A whole body as a value of type ``cls``. Raises MalformedError or InvalidError."""
    check_text(body)
    return decode_part(body, cls)


def decode_part(part: bytes, cls: type[T]) -> T:
    """A part of a checked body as a value of type ``cls``. Raises the same errors."""
    try:
        return msgspec.json.decode(part, type=cls)
    except msgspec.ValidationError as error:
        # These messages are written for callers: a field's path and what was expected there.
        raise InvalidError(f"{error}.") from error
    except RecursionError as error:
        raise MalformedError("The JSON is nested too deeply.") from error
    except msgspec.DecodeError as error:
        raise malformed() from error


def check_text(body: bytes) -> None:
    """Reject what no text may hold here: bad UTF-8, and NUL, at which SQLite ends a text.

    Works in windows: see json_scanner. Raises MalformedError.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(body), WINDOW):
            decoder.decode(body[start : start + WINDOW])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise MalformedError("The body is not UTF-8.") from error
    if any(rb"\u0000" in text for text in _without_escaped_backslashes(body)):
        raise MalformedError("The body holds a NUL character (\\u0000).")


def _without_escaped_backslashes(body: bytes) -> Iterator[bytes]:
    """The body in windows that end behind an escape: each backslash left begins an escape."""
    start = 0
    while start < len(body):
        window = body[start : start + WINDOW].replace(rb"\\", b"__")
        cut = window.rfind(b"\\", max(len(window) - _ESCAPE_LENGTH, 1))
        if cut > 0 and start + len(window) < len(body):
            window = window[:cut]
        yield window
        start += len(window)
