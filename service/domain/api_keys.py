"""API keys, as they go over the wire."""

from typing import Annotated

import msgspec
from msgspec import Meta

from service.domain.types import Flag, Id, Timestamp

KEY_NAME_MAX = 200


class ApiKey(msgspec.Struct, frozen=True):
    """An API key as its user sees it."""

    id: Id
    name: Annotated[str, Meta(description="What its user calls it.", examples=["ci"])]
    key_prefix: Annotated[
        str, Meta(description="How the key begins.", examples=["lvz_live_abcdef…"])
    ]
    is_active: Flag
    last_used_at: Annotated[
        Timestamp | None, Meta(description="UTC, to within some seconds; null for never.")
    ]
    created_at: Timestamp


class CreatedApiKey(ApiKey, frozen=True, kw_only=True):
    """A key at the one moment when it is whole."""

    raw_key: Annotated[str, Meta(description="The key itself. It is never shown again.")]


class NewApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What creates a key."""

    name: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=KEY_NAME_MAX,
            description="What to call it.",
            examples=["ci"],
        ),
    ]


class ApiKeyChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be changed of a key."""

    is_active: Annotated[bool, Meta(description="Whether the key works.", examples=[False])]
