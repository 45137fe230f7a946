"""The interfaces of the storage of what only the console needs: see ``base``."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from service.domain.types import Owner

SESSION_SECONDS = 12 * 60 * 60
"""How long a session lasts at most."""

SESSIONS_MAX = 20
"""Sessions of one key. A further one ends the oldest."""

COUNTED_MAX = 100
"""Links of one video that are counted. A page has 200 videos at most, so a count is bounded."""


class VideoSummary(msgspec.Struct, frozen=True):
    """A video as a list names it."""

    id: int
    job_id: str
    name: str
    links: int
    """How many links it has, COUNTED_MAX + 1 at most."""


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


class SummaryRepository(Protocol):
    """What the console's lists show beside the API's: names and numbers, for one page of them."""

    async def of_videos(self, user_id: str, video_ids: Sequence[str]) -> Mapping[str, VideoSummary]:
        """Return the user's videos among these, by id."""


class ConsoleRepositories(Protocol):
    """The part of ``base.Repositories`` that only the console uses."""

    @property
    def sessions(self) -> SessionRepository:
        """The table of sessions."""

    @property
    def summaries(self) -> SummaryRepository:
        """Names and numbers for lists."""
