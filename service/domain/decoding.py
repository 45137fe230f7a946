"""Bytes from outside to typed values: the one place where JSON is believed.

Every way in which JSON can be wrong becomes one of two errors: MalformedError if it cannot be read,
InvalidError, naming the field, if what it says is not acceptable.
"""

import codecs
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from service.domain.errors import InvalidError, MalformedError
from service.domain.json_errors import inert, malformed_part
from service.domain.json_scanner import WINDOW, Span

T = TypeVar("T")

_ESCAPE_LENGTH = 6  # bytes, of \\u0000


def decode_body(body: bytes, cls: type[T]) -> T:
    """A whole body as a value of type ``cls``. Raises MalformedError or InvalidError."""
    if len(body) <= WINDOW and b"\0" not in body and rb"\u0000" not in body:
        try:
            body.decode()
            return msgspec.json.decode(body, type=cls)
        except (ValueError, RecursionError):
            pass  # the steps below name the fault and its place
    body = blank_mark(body)
    check_text(body)
    return decode_part(body, (0, len(body)), cls)


def decode_part(body: bytes, span: Span, cls: type[T]) -> T:
    """A part of a checked body as a value of type ``cls``. Raises the same errors.

    MalformedError gives the position within the body.
    """
    try:
        return msgspec.json.decode(body[slice(*span)], type=cls)
    except msgspec.ValidationError as error:
        # These messages are written for callers: a field's path and what was expected there.
        raise InvalidError(f"{inert(str(error))}.") from error
    except RecursionError as error:
        raise MalformedError("The JSON is nested too deeply.") from error
    except msgspec.DecodeError as error:
        raise malformed_part(body, *span, error) from error


def blank_mark(body: bytes) -> bytes:
    """The body with blanks in place of a byte order mark, so that no position changes.

    Raises MalformedError if the body is UTF-16 or UTF-32.
    """
    if body.startswith(codecs.BOM_UTF8):
        return b" " * len(codecs.BOM_UTF8) + body[len(codecs.BOM_UTF8) :]
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in body[:4]:
        raise MalformedError("The body is UTF-16 or UTF-32. JSON is UTF-8.")
    return body


def check_text(body: bytes) -> None:
    """Reject what no text may hold here: bad UTF-8, and NUL, at which SQLite ends a text.

    Works in windows: see json_scanner. Raises MalformedError.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    start = 0
    try:
        for start in range(0, len(body), WINDOW):
            decoder.decode(body[start : start + WINDOW])
        start = len(body)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        # The error counts from the bytes that the window before left over.
        left_over = len(error.object) - len(body[start : start + WINDOW])
        position = start - left_over + error.start
        raise MalformedError(f"The body is not UTF-8 at byte {position}.") from error
    position = 0
    for text in _without_escaped_backslashes(body):
        if (nul := text.find(rb"\u0000")) >= 0:
            raise MalformedError(
                f"The body holds a NUL character (\\u0000) at byte {position + nul}."
            )
        position += len(text)


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
