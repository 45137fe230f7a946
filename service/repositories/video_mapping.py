"""Rows of the table ``videos`` mapped to domain types, and the column that each view reads."""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from service.domain.errors import NotFoundError
from service.domain.videos import Analysis, Video

Row = Sequence[Any]
"""A row of any engine."""
R = TypeVar("R", bound=Row)


def only(rows: Sequence[R]) -> R:
    """Return the only row. Raises NotFoundError if there is none."""
    if not rows:
        raise NotFoundError("No such video.")
    return rows[0]


def video(row: Row) -> Video:
    """Return the video of a row that begins with the fields of Video."""
    return Video(str(row[0]), *row[1:13])


def public_fields_json(analysis: Analysis) -> str:
    """Return the column of that name: members of a JSON object, without braces."""
    members = ("job_id", "name", "status", "duration", "processing_time")
    return msgspec.json.encode({name: getattr(analysis, name) for name in members}).decode()[1:-1]
