"""Types that several parts of the domain share: ids, timestamps, the owner.

Types of the wire are ``msgspec`` structs: their fields are the JSON's keys, in the JSON's order.
Names and types are the platform's: ids are strings, timestamps are UTC text without an offset, and
a flag of the database is 1 or 0.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

_ROW_ID_DIGITS = 18  # so that every id fits a signed 64-bit integer


Id = Annotated[
    str,
    Meta(
        pattern="^[1-9][0-9]{0,17}$",
        description="An id. Ids are never reused.",
        examples=["1"],
    ),
]


UserId = Annotated[
    str, Meta(description="The user.", examples=["550e8400-e29b-41d4-a716-446655440000"])
]


ShareHash = Annotated[
    str,
    Meta(
        pattern="^[A-Za-z0-9]{16,64}$",
        description="The secret that a link ends in. Anyone with it sees the report.",
        examples=["xK9mP2qR7wLnY4vB"],
    ),
]


Timestamp = Annotated[
    str,
    Meta(
        pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$",
        description="UTC, whole seconds, no offset.",
        examples=["2025-01-15T10:00:00"],
    ),
]


Flag = Annotated[Literal[0, 1], Meta(description="1 when it works, 0 when not.")]


class Done(msgspec.Struct, frozen=True):
    """The answer of a deletion."""

    ok: Annotated[bool, Meta(description="Always true.")] = True


class Owner(msgspec.Struct, frozen=True):
    """The user behind an API key, and the key."""

    user_id: str
    key_id: int


def row_id(text: str) -> int | None:
    """Return the row id that an id on the wire stands for.

    Return None for any other text, other spellings of a number included.
    """
    if (
        text.isdecimal()
        and text.isascii()
        and len(text) <= _ROW_ID_DIGITS
        and text == str(int(text))
    ):
        return int(text)
    return None
