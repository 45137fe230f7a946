"""Links: create, view, change, rotate and revoke them, whatever the storage engine."""

import asyncio
import hmac
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from service.domain.clock import Now
from service.domain.errors import InvalidError, NotFoundError
from service.domain.idempotency import IdempotencyRecord
from service.domain.link_rules import LinkRules
from service.domain.links import (
    LinkSettings,
    ReportWithAnalysis,
    SharedReport,
    inactive_error,
    new_report,
)
from service.domain.types import row_id
from service.domain.validation import match_modules
from service.domain.videos import find_video
from service.repositories.base import Repositories
from service.sharing.views import ViewCounter

_HASH_ATTEMPTS = 8  # with 95 bits of entropy a second one is not to be expected in a lifetime
_ALL_TAKEN = f"{_HASH_ATTEMPTS} new share hashes in a row were taken already"


class LinkService:
    """What owners do with their links, and the public's view of one."""

    def __init__(
        self,
        repositories: Repositories,
        views: ViewCounter,
        now: Now,
        new_share_hash: Callable[[], str],
        rules: LinkRules,
    ) -> None:
        self._links = repositories.links
        self._usage = repositories.usage
        self._rules = rules
        self.views = views
        """The counter of views of open links."""
        self._now = now
        self._new_share_hash = new_share_hash

    async def create(self, user_id: str, video: str, settings: LinkSettings) -> SharedReport:
        """Create a link to a user's video, named by its job id or its id.

        Raises NotFoundError if the user has no such video, and ConflictError if one video has the
        name as its job id and another as its id, or the user's quota is reached, and InvalidError
        if the settings break a rule, or the video has an analysis and none of the modules.
        """
        settings = self._rules.complete(settings, self._now())
        if settings.modules:
            settings = await self._match_modules(user_id, video, settings)
        for _ in range(_HASH_ATTEMPTS):
            share_hash = self._new_share_hash()
            link = await self._links.insert(share_hash, user_id, video, settings)
            if link is not None:
                return new_report(user_id, link, settings)
            await self._require_taken(share_hash, user_id, video)
        raise RuntimeError(_ALL_TAKEN)

    async def create_idempotent(
        self, user_id: str, video: str, settings: LinkSettings, record: IdempotencyRecord
    ) -> tuple[SharedReport, bool]:
        """Create a link, or return the one that the same call has created.

        Returns the link, and whether it was there already. Raises what ``create`` raises, and
        InvalidError if the key came with another body.
        """
        settings = self._rules.complete(settings, self._now())
        if settings.modules:
            settings = await self._match_modules(user_id, video, settings)
        for _ in range(_HASH_ATTEMPTS):
            share_hash = self._new_share_hash()
            link = await self._links.insert(share_hash, user_id, video, settings, record)
            if link is not None:
                return new_report(user_id, link, settings), False
            if (report := await self.replay(user_id, settings, record)) is not None:
                return report, True
            await self._require_taken(share_hash, user_id, video)
        raise RuntimeError(_ALL_TAKEN)

    async def replay(
        self, user_id: str, settings: LinkSettings, record: IdempotencyRecord
    ) -> SharedReport | None:
        """Return the link that a user's call has created, as it was answered then.

        The settings are those of the repeated call: its body has the same digest, so nothing of
        them need be stored but an expiry by default. Returns None for the first call with its key,
        and after the video's deletion. Raises InvalidError if the key came with another body.
        """
        creation = await self._links.find_creation(user_id, record.key)
        if creation is None:
            return None
        link, body, expires_at = creation
        if not hmac.compare_digest(body, record.body):
            raise InvalidError("This `Idempotency-Key` came with another body before.")
        if expires_at is not None or settings.expires_at is UNSET:
            settings = msgspec.structs.replace(settings, expires_at=expires_at)
        return new_report(user_id, link, settings)

    async def _match_modules(
        self, user_id: str, video: str, settings: LinkSettings
    ) -> LinkSettings:
        return match_modules(settings, await self._links.find_modules(user_id, video))

    async def _require_taken(self, share_hash: str, user_id: str, video: str) -> None:
        """Raise NotFoundError or ConflictError for the video or a quota, or the hash was taken."""
        if await self._links.has_share_hash(share_hash):
            return
        if find_video(video, await self._links.find_videos(user_id, video)) is None:
            raise NotFoundError("No such video.")
        (await self._usage.get(user_id)).require_room_for_link()

    async def view(self, share_hash: str) -> tuple[int, bytes] | None:
        """Return a link's id and its PublicReport as JSON.

        Returns None if the link is protected, expired or not. The caller counts the view, by
        ``views``. Holds as long as nothing is awaited. Raises NotFoundError, ExpiredError or
        ExhaustedError if the link is not active.
        """
        row = await self._links.find_view(share_hash, self._now())
        if row is None:
            raise inactive_error(None, None)
        _, status, expires_at, link_id, report = row
        if status != "active":
            if status == "protected":
                return None
            raise inactive_error(status, expires_at)
        return link_id, report

    async def get_report(self, share_hash: str) -> ReportWithAnalysis:
        """Return a link's report with the whole analysis, also of modules it does not show.

        The caller selects the modules in a thread: see ``web.report_responses``.
        ``AccessService.check`` decides whether it may be shown. Raises NotFoundError.
        """
        report = await self._links.find_report(share_hash)
        if report is None:
            raise inactive_error(None, None)
        return report

    async def change(self, user_id: str, report_id: str, settings: LinkSettings) -> SharedReport:
        """Change a user's link: see ``LinkRepository.change``.

        A limit counts all views before it. The change writes the views that are in memory when its
        statement starts; a second statement, next in the queue, writes those that arrive while the
        first runs. Each unlock comes after both. Runs to its end if the caller is cancelled.
        Raises InvalidError if the settings break a rule, or the video has an analysis and none of
        the modules.
        """
        self._rules.check_change(settings, self._now())
        if settings.modules:
            known = await self._links.find_modules_of_link(user_id, report_id)
            settings = match_modules(settings, known)
        change = self._change(user_id, report_id, settings)
        later_views = self.views.write_link(row_id(report_id))
        both = asyncio.gather(change, later_views)
        both.add_done_callback(_retrieve)
        report, _ = await asyncio.shield(both)
        return report

    async def _change(self, user_id: str, report_id: str, settings: LinkSettings) -> SharedReport:
        views = self.views.pending([row_id(report_id)])
        try:
            return await self._links.change(user_id, report_id, settings, views.take)
        except Exception:
            views.restore()
            raise

    async def rotate(self, user_id: str, report_id: str) -> SharedReport:
        """Give a user's link a new hash; the old one is dead when this returns.

        Raises NotFoundError.
        """
        for _ in range(_HASH_ATTEMPTS):
            share_hash = self._new_share_hash()
            report = await self._links.rotate(user_id, report_id, share_hash)
            if report is not None:
                return report
            if not await self._links.has_share_hash(share_hash):
                raise NotFoundError("No such shared report.")
        raise RuntimeError(_ALL_TAKEN)

    async def revoke(self, user_id: str, report_id: str) -> None:
        """Delete a user's link; it is dead when this returns. Raises NotFoundError."""
        if not await self._links.delete(user_id, report_id):
            raise NotFoundError("No such shared report.")

    async def revoke_all(self, user_id: str, job_id: str) -> int:
        """Delete all links of a user's video; they are dead when this returns.

        Returns how many there were. Raises NotFoundError.
        """
        return await self._links.revoke_all(user_id, job_id)


def _retrieve(finished: "asyncio.Future[Any]") -> None:
    """Take note of an exception: asyncio logs it otherwise if the caller was cancelled."""
    if not finished.cancelled():
        finished.exception()
