"""The interface of the storage of the console's sessions: see ``base``."""

from typing import Protocol

from service.domain.types import Owner

SESSION_SECONDS = 12 * 60 * 60
"""How long a session lasts at most."""

SESSIONS_MAX = 20
"""Sessions of one key. A further one ends the oldest."""


class SessionRepository(Protocol):
    """The table of sessions. Only a digest of each token is stored."""

    async def start(self, owner: Owner, token: str) -> None:
        """Store a session of a key; it is found from now on.

        Raises UnauthorizedError if the key does not exist any more or is not active.
        """

    async def find(self, token: str) -> Owner:
        """Return the owner of a session.

        Raises UnauthorizedError if it has ended, or its key does not work any more.
        """

    async def end(self, token: str) -> None:
        """End a session: no later look-up finds it."""
