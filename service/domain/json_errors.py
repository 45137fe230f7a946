"""Errors of JSON that say what is wrong and where.

Their texts quote the body. What they quote is short, and has no character that a terminal or a page
may act on.
"""

import re

from service.domain.errors import MalformedError

_EXCERPT = 20  # bytes before and behind the byte that is wrong
_SEARCHED = 256 * 2**10  # bytes, about 2 ms
_QUOTED_MAX = 300  # characters
_CONSTANT = re.compile(rb"-?(?:NaN|Infinity)")
_CONSTANT_MAX = len(b"-Infinity")
_LONE_SURROGATE = re.compile(rb"(?<!\\)(?:\\\\)*+(\\u[dD][89abAB]..)(?!\\u[dD][c-fC-F])")
_REASON = re.compile(r"JSON is malformed: (.*) \(byte (\d+)\)")


def inert(text: str, length_max: int = _QUOTED_MAX) -> str:
    """``text`` of at most ``length_max`` characters, all of them printable."""
    cut = text[:length_max]
    if not cut.isprintable():
        cut = "".join(char if char.isprintable() else "\ufffd" for char in cut)
    return cut if len(text) <= length_max else f"{cut}…"


def malformed(body: bytes, position: int, reason: str = "") -> MalformedError:
    """The error of a body that is not JSON at ``position``, in bytes."""
    if position >= len(body):
        reason = reason or "it ends too early"
    if constant := _constant(body, position):
        reason = f"{constant} is not a JSON number"
    start, end = max(position - _EXCERPT, 0), position + _EXCERPT
    excerpt = inert(body[start:end].decode(errors="replace"))
    detail = f"The body is not valid JSON at byte {position}"
    if reason:
        detail += f", {reason}"
    if not excerpt:
        return MalformedError(f"{detail}.")
    before, behind = "…" if start else "", "…" if end < len(body) else ""
    return MalformedError(f"{detail}: {before}{excerpt}{behind}")


def malformed_part(body: bytes, start: int, end: int, error: Exception) -> MalformedError:
    """The error of a part of ``body`` that msgspec rejects with ``error``."""
    if match := _REASON.match(str(error)):
        reason, position = match[1], start + int(match[2])
        if reason == "trailing characters":
            position -= 1  # msgspec counts the first of them
        return malformed(body, position, reason)
    # msgspec gives no position if the text ends early, and none for half a pair at its end.
    if surrogate := _LONE_SURROGATE.search(body, start, min(end, start + _SEARCHED)):
        return malformed(body, surrogate.start(1), "half of a surrogate pair")
    return malformed(body, end, "it ends too early")


def _constant(body: bytes, position: int) -> str:
    """NaN, Infinity or -Infinity if one stands at ``position``, or its sign before it."""
    start = position - 1 if body[max(position - 1, 0) : position] == b"-" else position
    match = _CONSTANT.match(body, start, start + _CONSTANT_MAX)
    return match[0].decode() if match else ""
