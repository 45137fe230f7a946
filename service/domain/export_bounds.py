"""Bounds on an export: what one value of it may hold.

The bounds keep every later step short: decoding, rendering and filtering take a segment at a time.
They are checked on raw JSON, before it is decoded.
"""

import unicodedata
from collections.abc import Sequence

from service.domain.errors import InvalidError

SEGMENTS_MAX = 100_000
MODULES_MAX = 500
"""Modules a video; names of modules in ``selected_insights``."""
MODULE_NAMES_MAX = 20_000
"""Characters of all these names together."""
INSIGHTS_BYTES_MAX = 24_000
"""Bytes of ``selected_insights`` as a video has it, a JSON array in a JSON string: a page of 200
videos is 9 MB at most."""
CONTENT_MAX = 2**20
"""Characters of a segment's content."""
METADATA_BYTES_MAX = 2**20
METADATA_DEPTH_MAX = 32
METADATA_VALUES_MAX = 10_000
SEGMENT_BYTES_MAX = 8 * 2**20
"""A segment's JSON: the longest content, escaped, and the largest metadata."""
SEGMENT_ID_MAX = 200

_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_FILLERS = "\u115f\u1160\u2800\u3164\uffa0"  # letters and symbols by category, blank on the screen


def check_metadata(raw: bytes) -> None:
    """Check the size, depth and number of values of a metadata's JSON. Raises InvalidError."""
    if len(raw) > METADATA_BYTES_MAX:
        raise InvalidError(f"`metadata` has more than {METADATA_BYTES_MAX} bytes.")
    # Neither bound can be reached by fewer brackets and commas, those inside strings included.
    if raw.count(b"[") + raw.count(b"{") + raw.count(b",") < METADATA_DEPTH_MAX:
        return
    structure = _without_strings(raw)
    opening = structure.count(b"[") + structure.count(b"{")
    values = 1 + structure.count(b",") + opening - structure.count(b"[]") - structure.count(b"{}")
    if values > METADATA_VALUES_MAX:
        raise InvalidError(f"`metadata` holds more than {METADATA_VALUES_MAX} values.")
    if opening > METADATA_DEPTH_MAX and _depth(structure) > METADATA_DEPTH_MAX:
        raise InvalidError(f"`metadata` is nested more than {METADATA_DEPTH_MAX} deep.")


def _without_strings(raw: bytes) -> bytes:
    """The JSON with one quote for each string, and without white space."""
    quoted = raw.replace(rb"\\", b"").replace(rb"\"", b"")
    return b'"'.join(quoted.split(b'"')[::2]).translate(None, b" \t\n\r")


def _depth(structure: bytes) -> int:
    depth = deepest = 0
    for bracket in structure.translate(None, _ALL_BUT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def check_module_count(count: int) -> None:
    """Check the number of modules so far. Raises InvalidError."""
    if count > MODULES_MAX:
        raise InvalidError(f"`module` is one more than the {MODULES_MAX} that a video may have.")


def check_module_names(field: str, names: Sequence[str]) -> None:
    """Check the number and the total length of module names. Raises InvalidError."""
    if len(names) > MODULES_MAX:
        raise InvalidError(f"`{field}` names more than {MODULES_MAX} modules.")
    if sum(map(len, names)) > MODULE_NAMES_MAX:
        raise InvalidError(
            f"`{field}` has module names of more than {MODULE_NAMES_MAX} characters in all."
        )


def check_visible(field: str, text: str) -> None:
    """Reject a name that shows nothing: only blanks, controls and characters of no width.

    Raises InvalidError.
    """
    if not any(unicodedata.category(char)[0] not in "CZ" and char not in _FILLERS for char in text):
        raise InvalidError(f"`{field}` has no visible character.")
