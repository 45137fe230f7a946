"""Columns of the table ``shared_reports`` by their fields, and its rows mapped to domain types.

The column lists of every engine come from the field names of ``LinkSettings`` and ``SharedReport``.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from service.domain.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    ServiceError,
    UnavailableError,
)
from service.domain.links import ACTIVE_STATES, LinkSettings, SharedReport
from service.domain.usage import Usage

Row = Sequence[Any]
"""A row of any engine."""
R = TypeVar("R", bound=Row)
T = TypeVar("T")

SETTING_COLUMNS = tuple(name for name in LinkSettings.__struct_fields__ if name != "is_active")
"""The settings that are stored under their own name; ``is_active`` sets ``switched_off_at``."""

REPORT_FIELDS = tuple(name for name in SharedReport.__struct_fields__ if name != "is_active")
"""The fields of a SharedReport that its row holds; ``is_active`` follows from the status."""

IS_ACTIVE_STATE = f"IN ({', '.join(repr(state) for state in sorted(ACTIVE_STATES))})"
"""The end of an SQL condition on a status: ``is_active`` is 1."""

_ID, _VIDEO_ID, _MODULES, _STATUS = map(
    REPORT_FIELDS.index, ("id", "video_id", "modules", "status")
)
_IS_ACTIVE = SharedReport.__struct_fields__.index("is_active")

_DECODED_AT_ONCE = 2**20  # bytes of JSON: 2 ms of the event loop

_read_modules = msgspec.json.Decoder(tuple[str, ...]).decode
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode
_read_fields = msgspec.json.Decoder(dict[str, Any]).decode


def shared_report(row: Row) -> SharedReport:
    """Return the link of a row of the engine's ``report_columns``."""
    values = list(row)  # a dict by name takes three times as long
    values[_ID], values[_VIDEO_ID] = str(values[_ID]), str(values[_VIDEO_ID])
    if values[_MODULES] is not None:
        values[_MODULES] = _read_modules(values[_MODULES])
    values.insert(_IS_ACTIVE, 1 if values[_STATUS] in ACTIVE_STATES else 0)
    return SharedReport(*values)


def read_reports(parts: Iterable[msgspec.Raw]) -> Iterator[SharedReport]:
    """Yield the links of a list, whose JSON comes in ``parts`` with commas between the links."""
    for part in parts:
        yield from map(_read_report, _split(b"[%b]" % part))


def _read_report(link: msgspec.Raw) -> SharedReport:
    """Return a link of its JSON. It is not validated: earlier releases had other bounds."""
    fields = _read_fields(link)
    if fields["modules"] is not None:
        fields["modules"] = tuple(fields["modules"])
    return SharedReport(**fields)


def modules_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the modules of the only video among rows of ``link_sql.FIND_MODULES``, or none."""
    return _read_modules(rows[0][-1]) if len(rows) == 1 else ()


def change_error(rows: Sequence[Row], usage: Usage) -> ServiceError:
    """Return why a link was not changed, by the rows of ``link_sql.EXPLAIN_CHANGE``."""
    if not rows:
        return NotFoundError("No such shared report.")
    [(is_ordered, status, expires_at)] = rows
    if not is_ordered:
        return InvalidError("`not_before` is not before `expires_at`.")
    if status in ACTIVE_STATES:
        return room_error(usage)
    if status == "exhausted":
        return ConflictError("This link's views are used up: it needs more `max_views`, too.")
    return ConflictError(
        f"This link expired at {expires_at} (UTC): it needs a new `expires_at`, too."
    )


def room_error(usage: Usage) -> ServiceError:
    """Return why a link was not made active again: the quota, unless there is room by now."""
    try:
        usage.require_room_for_link()
    except ConflictError as error:
        return error
    return UnavailableError("The quota of links was reached a moment ago. Try again.")


async def map_rows(rows: Sequence[R], map_row: Callable[[R], T], json_column: int) -> list[T]:
    """Return the rows as ``map_row`` makes them, with pauses for others on the event loop.

    ``json_column`` is the column, text or null, that takes its time: a page of 200 links may hold
    4.8 MB of module names, which take 8 ms.
    """
    mapped: list[T] = []
    size = 0
    for row in rows:
        size += len(row[json_column] or "")
        if size > _DECODED_AT_ONCE:
            size = 0
            await asyncio.sleep(0)
        mapped.append(map_row(row))
    return mapped
