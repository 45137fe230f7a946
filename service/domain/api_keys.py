"""API keys, as they go over the wire."""

from typing import Annotated

import msgspec
from msgspec import Meta

from service.domain.types import Flag, Id, Timestamp

KEY_NAME_MAX = 200
KEYS_MAX = 1_000
"""API keys of one user, so that a list of them is short."""


class ApiKey(msgspec.Struct, frozen=True):
    """An API key as its user sees it."""

    id: Id
    name: Annotated[str, Meta(description="The user's name for the key.", examples=["ci"])]
    key_prefix: Annotated[
        str, Meta(description="How the key begins.", examples=["lvz_live_abcdef…"])
    ]
    is_active: Flag
    last_used_at: Annotated[
        Timestamp | None, Meta(description="UTC, to within some seconds; null for never.")
    ]
    created_at: Timestamp


class CreatedApiKey(ApiKey, frozen=True, kw_only=True):
    """A new API key, with the key itself."""

    raw_key: Annotated[str, Meta(description="The key itself. It is never shown again.")]


class NewApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that creates an API key."""

    name: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=KEY_NAME_MAX,
            description="The user's name for the key.",
            examples=["ci"],
        ),
    ]


class ApiKeyChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change of an API key."""

    is_active: Annotated[bool, Meta(description="Whether the key works.", examples=[False])]
