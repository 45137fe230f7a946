"""The interface of the storage behind protected links: see ``repositories.base``."""

from typing import Protocol

from service.domain.access import AccessRequirements, LinkAccess


class AccessRepository(Protocol):
    """The look-ups and the writes behind access to protected links."""

    async def find(self, share_hash: str, now: str) -> LinkAccess | None:
        """Return what decides who may see a link, without its report."""

    async def find_with_report(self, share_hash: str, now: str) -> LinkAccess | None:
        """Return what decides who may see a link, with its report."""

    async def unlock(
        self, requirements: AccessRequirements, *, is_page: bool = False
    ) -> AccessRequirements | None:
        """Count one view of a link with these requirements, on disk when this returns.

        It is a view of the page, or by the API. Return the requirements as stored, or None if the
        link is not active, requires something else, or has no view left.
        """

    async def make_signing_key(self) -> None:
        """Make the key that access tokens are signed with, if the database has none."""

    def signing_key(self) -> bytes:
        """Return the key of the database that is open now. ``make_signing_key`` has made it."""
