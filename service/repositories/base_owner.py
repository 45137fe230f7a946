"""The interfaces of the storage of videos and of API keys: see ``repositories.base``."""

from typing import Protocol

from service.domain.api_keys import ApiKey, CreatedApiKey
from service.domain.paging import FIRST_PAGE, Page
from service.domain.types import Owner
from service.domain.videos import Analysis, Video


class VideoRepository(Protocol):
    """The table of videos."""

    async def put(self, user_id: str, analysis: Analysis) -> tuple[Video, bool]:
        """Create or replace a video with its analysis. Return it, and whether it is new.

        Raises ConflictError if a quota of the user is reached.
        """

    async def list_all(
        self,
        user_id: str,
        page: Page = FIRST_PAGE,
        *,
        status: str | None = None,
        project_id: str | None = None,
    ) -> tuple[list[Video], Page | None]:
        """Return a page of a user's videos, newest first, and the page after it."""

    async def get(self, user_id: str, job_id: str) -> Video:
        """Return a user's video. Raises NotFoundError."""

    async def segments(self, user_id: str, job_id: str) -> bytes:
        """Return a video's whole analysis as a JSON array. Raises NotFoundError."""

    async def delete(self, user_id: str, job_id: str) -> None:
        """Delete a video and its analysis, and revoke its links. Raises NotFoundError.

        Its job id is free and its links are dead when this returns.
        """


class ApiKeyRepository(Protocol):
    """The table of API keys. A user's methods carry the user; the others are the operator's."""

    async def owner_of(self, raw_key: str) -> Owner:
        """Return the owner of a key. Raises UnauthorizedError."""

    async def record_use(self) -> None:
        """Write when the keys were last used."""

    async def create(self, user_id: str, name: str) -> CreatedApiKey:
        """Create a key; the answer is the only place where it is whole. Raises ConflictError."""

    async def list_all(self, user_id: str) -> list[ApiKey]:
        """Return a user's keys, newest first."""

    async def set_active(self, user_id: str, key_id: str, *, is_active: bool) -> ApiKey:
        """Switch a user's key on or off. Raises NotFoundError."""

    async def delete(self, user_id: str, key_id: str) -> None:
        """Delete a user's key. Raises NotFoundError."""

    async def list_of_everyone(self) -> list[tuple[str, ApiKey]]:
        """Return every key with its user, oldest first."""

    async def revoke(self, key_id: str) -> ApiKey:
        """Deactivate anyone's key. Raises NotFoundError."""
