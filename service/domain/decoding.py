"""Bytes from outside to typed values: the one place where JSON is believed.

Every way in which JSON can be wrong becomes one of two errors: MalformedError when it can't be
read, InvalidError, naming the field, when what it says is not acceptable.
"""

import re
from typing import TypeVar

import msgspec

from service.domain.errors import InvalidError, MalformedError

T = TypeVar("T")

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def decode_body(body: bytes, kind: type[T]) -> T:
    """A whole body as a value of type ``kind``. Raises MalformedError or InvalidError."""
    _check_text(body)
    return decode_part(body, kind)


def decode_part(part: bytes, kind: type[T]) -> T:
    """A part of a body that has been decoded raw, likewise."""
    try:
        return msgspec.json.decode(part, type=kind)
    except msgspec.ValidationError as error:
        # These messages are written for callers: a field's path and what was expected there.
        raise InvalidError(f"{error}.") from error
    except RecursionError as error:
        raise MalformedError("The JSON is nested too deeply.") from error
    except msgspec.DecodeError as error:
        raise MalformedError("The body is not valid JSON.") from error


def _check_text(body: bytes) -> None:
    """Refuse what no text may hold here: bad UTF-8, and NUL, at which SQLite ends a text.

    Raises MalformedError.
    """
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise MalformedError("The body is not UTF-8.") from error
    if b"\\u0000" in body and _NUL.search(body):
        raise MalformedError("The body holds a NUL character (\\u0000).")
