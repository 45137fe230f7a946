"""Access to a protected link: what it requires, and what grants it."""

from typing import Annotated

import msgspec
from msgspec import Meta

from service.domain.links import (
    PASSWORD_MAX,
    LinkState,
)
from service.domain.types import Timestamp


class AccessRequirements(msgspec.Struct, frozen=True):
    """What a link asks for before it shows its report."""

    share_hash: str
    id: int
    is_limited: bool
    """Whether its views are: each opening is one of them."""
    password: str | None
    """What a password is checked against; None where it asks for none."""

    @property
    def is_open(self) -> bool:
        """Whether it asks for nothing."""
        return not self.is_limited and self.password is None


class UnlockRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What opens a link."""

    password: (
        Annotated[
            str,
            Meta(
                max_length=PASSWORD_MAX,
                description="The link's password, where it asks for one.",
                examples=["correct horse battery staple"],
            ),
        ]
        | None
    ) = None


class UnlockForm(msgspec.Struct, frozen=True):
    """The form that opens a link on its page; other fields mean nothing."""

    password: Annotated[
        str,
        Meta(
            description="The link's password, where it asks for one.",
            examples=["correct horse battery staple"],
        ),
    ] = ""


class AccessGrant(msgspec.Struct, frozen=True):
    """A link that has been opened."""

    token: Annotated[
        str, Meta(description="What to bring as `X-Share-Token` to see the report again.")
    ]
    expires_at: Annotated[Timestamp, Meta(description="When the token ends, if the link has not.")]


class LinkAccess(msgspec.Struct, frozen=True):
    """What decides who may see a link's report, as one row of the table says it."""

    status: LinkState
    expires_at: str | None
    requirements: AccessRequirements
    modules: str | None
    """The modules that the link shows, as a JSON array; None for all."""
    report: bytes = b""
    """The PublicReport as JSON, if it was asked for."""
