"""Where the parts of an export stand: its fields, its segments, and each module's own list.

An export may have a module's segments once more, or only, in a list under the module's name. A
module may be called like a field of the video, so fields are known by their type as well: a list
of segments is a module's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from service.domain.decoding import decode_part
from service.domain.errors import InvalidError
from service.domain.export_bounds import METADATA_BYTES_MAX, SEGMENT_BYTES_MAX, SEGMENTS_MAX
from service.domain.json_errors import inert, malformed
from service.domain.json_scanner import WINDOW, JsonScanner, Span
from service.domain.normal_form import nfc

_FIELDS_MAX = 1_000
_FIELD_BYTES_MAX = 256 * 2**10
_NAME_BYTES_MAX = 1_000  # of a field's name; a longer one is not known
_CONTAINERS_MAX = 2_000_000  # arrays and objects of an export: each takes a step
_IGNORED_MAX = 1_000
_IGNORED_NAME_MAX = 100  # characters
_SEGMENTS = "segments"
_LISTS = frozenset({"selected_insights"})  # fields that may be an empty list


@dataclass(slots=True)
class ExportParts:
    """The parts of an export."""

    fields: bytes = b"{}"
    """The known fields but for the segments, as an object; of a field given twice, the last."""
    segments: list[Span] = field(default_factory=list)
    module_lists: dict[str, Span] = field(default_factory=dict)
    """The lists of segments that stand under another name, by that name."""
    ignored: dict[str, None] = field(default_factory=dict)
    """The names of the other fields, in the order of the export; ``ignore`` adds to them."""

    def ignore(self, name: str) -> bool:
        """Note a field that is not taken. Returns False if there are too many to note it."""
        if len(self.ignored) == _IGNORED_MAX:
            return False
        self.ignored[inert(name, _IGNORED_NAME_MAX)] = None
        return True


class _FirstSegment(msgspec.Struct):
    start_time: float
    end_time: float
    module: str | msgspec.UnsetType | None = msgspec.UNSET


_FIRST_FIELDS = frozenset(_FirstSegment.__struct_fields__)


def divide(body: bytes, known: frozenset[str]) -> ExportParts:
    """The parts of an export that has ``known`` fields. Raises MalformedError and InvalidError."""
    parts = ExportParts()
    scanner = JsonScanner(body, _CONTAINERS_MAX)
    if scanner.peek() != b"{"[0]:
        parts.fields = body[: scanner.position + WINDOW]  # msgspec says what is wrong with it
        return parts
    fields: dict[str, bytes] = {}
    for number, span in enumerate(scanner.members()):
        if number == _FIELDS_MAX:
            raise InvalidError(f"The export has more than {_FIELDS_MAX} fields.")
        is_short = span[1] - span[0] <= _NAME_BYTES_MAX
        name = decode_part(body, span, str) if is_short else ""
        if name == _SEGMENTS and scanner.peek() == b"["[0]:
            parts.segments = list(element_spans(scanner))
        elif _is_module_list(scanner, name):
            parts.module_lists[name] = _skip(scanner)
        elif name in known:
            value = scanner.value(_FIELD_BYTES_MAX)
            if value is None:
                raise InvalidError(f"`{name}` has more than {_FIELD_BYTES_MAX} bytes.")
            decode_part(body, value, msgspec.Raw)  # an error has its position in the body
            fields[name] = body[slice(*span)] + b":" + body[slice(*value)]
        else:
            beginning = body[span[0] + 1 : span[0] + _NAME_BYTES_MAX].decode(errors="ignore")
            parts.ignore(name if is_short else beginning)
            _skip(scanner)
    if scanner.peek() != -1:
        raise malformed(body, scanner.position)
    parts.fields = b"{%b}" % b",".join(fields.values())
    return parts


def known_members(
    body: bytes, span: Span, known: frozenset[str], unknown: Callable[[str], object] = str
) -> bytes:
    """The segment at ``span`` with its ``known`` members only; ``unknown`` gets other names.

    Of a member that is given twice, the last counts. A decode of 8 MiB of unknown members would be
    a single call of 30 ms. Raises MalformedError and InvalidError.
    """
    scanner = JsonScanner(body, _CONTAINERS_MAX)
    scanner.position = span[0]
    if scanner.peek() != b"{"[0]:
        return body[span[0] : span[0] + WINDOW]  # msgspec says what is wrong with it
    members: dict[str, bytes] = {}
    for number, name in enumerate(scanner.members()):
        if number == _FIELDS_MAX:
            raise InvalidError(f"It has more than {_FIELDS_MAX} fields.")
        is_short = name[1] - name[0] <= _NAME_BYTES_MAX
        text = decode_part(body, name, str) if is_short else ""
        if text not in known:
            unknown(text)
            _skip(scanner)
            continue
        value = scanner.value(METADATA_BYTES_MAX if text == "metadata" else None)
        if value is None:
            raise InvalidError(f"`metadata` has more than {METADATA_BYTES_MAX} bytes.")
        members[text] = body[slice(*name)] + b":" + body[slice(*value)]
        if value[1] - value[0] <= METADATA_BYTES_MAX or text == "content":
            decode_part(body, value, msgspec.Raw)  # an error has its position in the body
        else:
            raise InvalidError(f"`{text}` has more than {METADATA_BYTES_MAX} bytes.")
    return b"{%b}" % b",".join(members.values())


def element_spans(
    scanner: JsonScanner, module: str | None = None, count: int = 0
) -> Iterator[Span]:
    """The places of the segments of a list: ``module``'s own, or the list of all.

    ``count`` segments stand in other lists. Raises MalformedError, and InvalidError if there are
    too many or one is too large.
    """
    of_module = "" if module is None else f" of `{inert(module)}`"
    for number, span in enumerate(scanner.elements(SEGMENT_BYTES_MAX)):
        if span is None:
            raise InvalidError(
                f"Segment {number}{of_module}: It has more than {SEGMENT_BYTES_MAX} bytes."
            )
        if count + number == SEGMENTS_MAX:
            raise InvalidError(
                f"Expected `array` of length <= {SEGMENTS_MAX} - at `$.segments`."
                if module is None
                else f"The export has more than {SEGMENTS_MAX} segments."
            )
        yield span


def _is_module_list(scanner: JsonScanner, name: str) -> bool:
    """Whether the next value is a list of segments of the module ``name``; it is not read."""
    if not name or scanner.peek() != b"["[0]:
        return False
    first = JsonScanner(scanner.body, _CONTAINERS_MAX)
    first.position = scanner.position + 1
    if first.peek() == b"]"[0]:
        return name not in _LISTS
    if first.peek() != b"{"[0] or (span := first.value(SEGMENT_BYTES_MAX)) is None:
        return False
    try:
        body = scanner.body
        if span[1] - span[0] > METADATA_BYTES_MAX:
            body = known_members(body, span, _FIRST_FIELDS)
            span = (0, len(body))
        segment = decode_part(body, span, _FirstSegment)
    except InvalidError:
        return False
    return segment.module is msgspec.UNSET or (
        segment.module is not None and nfc(segment.module) == nfc(name)
    )


def _skip(scanner: JsonScanner) -> Span:
    """Skip a value that is not taken, or not yet.

    Its brackets must pair. All of its grammar is checked if it is small: a check of 32 MiB would
    be a single call of 30 ms.
    """
    span = scanner.value()
    if span is None:  # never, because no size was bounded
        raise malformed(scanner.body, scanner.position)
    if span[1] - span[0] <= WINDOW:
        decode_part(scanner.body, span, msgspec.Raw)
    return span
