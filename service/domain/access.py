"""Access to a protected link: what it requires, and what grants it."""

from typing import Annotated

import msgspec
from msgspec import Meta

from service.domain.links import PASSWORD_MAX, Link, LinkState
from service.domain.types import Timestamp


class AccessRequirements(msgspec.Struct, frozen=True):
    """What a link requires before it shows its report. Access tokens are signed over all of it."""

    share_hash: str
    id: int
    is_limited: bool
    """Whether its views are limited: each unlock is one of them."""
    password: str | None
    """The digest that a password is checked against; None if the link requires none."""
    revision: int
    """Grows whenever a limit is set or removed, so that no earlier token is valid again."""

    @property
    def requires_nothing(self) -> bool:
        """Whether the link requires nothing."""
        return not self.is_limited and self.password is None


class UnlockRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that unlocks a link."""

    password: (
        Annotated[
            str,
            Meta(
                max_length=PASSWORD_MAX,
                description="The link's password, if it has one.",
                examples=["correct horse battery staple"],
            ),
        ]
        | None
    ) = None


class UnlockForm(msgspec.Struct, frozen=True):
    """The form on the page of a protected link; other fields are ignored."""

    password: Annotated[
        str,
        Meta(
            description="The link's password, if it has one.",
            examples=["correct horse battery staple"],
        ),
    ] = ""
    key: Annotated[
        str,
        Meta(description="A random value from the page: the form sent twice is one view."),
    ] = ""


class AccessGrant(msgspec.Struct, frozen=True):
    """Access to a protected link."""

    token: Annotated[str, Meta(description="The value of `X-Share-Token` for further requests.")]
    expires_at: Annotated[
        Timestamp, Meta(description="When the token expires, if the link does not end earlier.")
    ]


class LinkAccess(msgspec.Struct, frozen=True):
    """What decides who may see a link's report, from one row of the table."""

    status: LinkState
    has_begun: bool
    """Whether ``not_before`` is past; an exhausted link may not have begun either."""
    requirements: AccessRequirements
    link: Link
    report: bytes = b""
    """The PublicReport as JSON, if it was asked for."""

    def admits(self, *, has_token: bool) -> bool:
        """Return whether the report may be shown, with a valid token or without one.

        The rule for protected links, pages and downloads; ``LinkService.view`` has the rule for the
        JSON view of unprotected links. An exhausted link may be seen again with the token that its
        last view gave; all other states but ``active`` show nothing to anyone.
        """
        if self.status == "active":
            return has_token or self.requirements.requires_nothing
        return self.status == "exhausted" and self.has_begun and has_token
