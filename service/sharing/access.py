"""Access to protected links: what a link requires, unlocking it, and checking a token.

A link may require a password, or, if its views are limited, an unlock: each unlock is one view.
A caller that unlocked a link has a token for it.
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from service.domain.access import AccessGrant, AccessRequirements, LinkAccess
from service.domain.clock import Now
from service.domain.errors import OpenRequiredError, PasswordRequiredError, ServiceError
from service.domain.links import Link, inactive_error
from service.repositories.base_access import AccessRepository
from service.security.access_tokens import Tokens

_REPEATABLE_MAX = 10_000
"""Unlocks that are remembered, 1 KiB each. The oldest is dropped for a newer one."""


class AccessService:
    """Decides who may see a link's report."""

    def __init__(self, repository: AccessRepository, tokens: Tokens, now: Now) -> None:
        self._repository = repository
        self._tokens = tokens
        self._now = now
        self._repeatable: dict[bytes, asyncio.Task[AccessGrant]] = {}
        """Unlocks that came with an idempotency key, by a digest of the call, oldest first."""

    async def check(self, share_hash: str, token: str | None) -> Link:
        """Return the link if it may be shown to the holder of ``token``.

        Holds as long as nothing is awaited. Raises NotFoundError, ExpiredError or ExhaustedError
        if the link is not active; PasswordRequiredError or OpenRequiredError if it is protected and
        the token does not grant access.
        """
        access = await self._repository.find(share_hash, self._now())
        return self._admit(access, token).link

    async def view(self, share_hash: str, token: str | None) -> bytes:
        """Return the link's PublicReport as JSON if it may be shown: see ``check``."""
        link = await self._repository.find_with_report(share_hash, self._now())
        return self._admit(link, token).report

    async def requirements(self, share_hash: str) -> AccessRequirements:
        """Return what an active link requires.

        Raises NotFoundError, ExpiredError or ExhaustedError if the link is not active.
        """
        link = await self._repository.find(share_hash, self._now())
        return _require_active(link).requirements

    async def unlock(
        self, requirements: AccessRequirements, *, is_page: bool = False
    ) -> AccessGrant:
        """Count one view of a link, and return a token for it. The caller has checked the password.

        It is a view of the page, or by the API, and on disk when this returns. A link that requires
        nothing counts no view. Raises what ``check`` does if the link is no longer active, or
        requires something else.
        """
        if requirements.requires_nothing:
            return self._tokens.make(requirements, self._now())
        granted = await self._repository.unlock(requirements, is_page=is_page)
        if granted is None:
            raise _required(await self.requirements(requirements.share_hash))
        return self._tokens.make(granted, self._now())

    async def unlock_once(
        self,
        share_hash: str,
        key: str,
        password: str,
        unlock: Callable[[], Coroutine[Any, Any, AccessGrant]],
    ) -> AccessGrant:
        """Return what ``unlock`` returns; for a repeated call the same grant, and no second view.

        A call is repeated if link, key and password are equal and the first one's token is valid.
        It may come while the first one runs, whose client may have gone. A failed call is not
        remembered. Raises what ``unlock`` and ``check`` raise.
        """
        call = hashlib.sha256(msgspec.json.encode((share_hash, key, password))).digest()
        task = self._repeatable.get(call)
        if task is None or (task.done() and task.result().expires_at <= self._now()):
            self._repeatable.pop(call, None)
            task = asyncio.create_task(unlock())
            self._repeatable[call] = task
            task.add_done_callback(lambda task: self._remember(call, task))
        grant = await asyncio.shield(task)  # it goes on if this caller is cancelled
        await self.check(share_hash, grant.token)  # the link may have changed since
        return grant

    def _remember(self, call: bytes, task: "asyncio.Task[AccessGrant]") -> None:
        """Keep a finished call if it was granted. Drop a failed one: it may be made again."""
        if task.cancelled() or task.exception() is not None:
            self._repeatable.pop(call, None)
        elif len(self._repeatable) > _REPEATABLE_MAX:
            del self._repeatable[next(iter(self._repeatable))]

    def _admit(self, link: LinkAccess | None, token: str | None) -> LinkAccess:
        """Return the link if it may be shown to the holder of ``token``."""
        if link is not None and link.admits(has_token=self._grants(token, link)):
            return link
        raise _required(_require_active(link).requirements)

    def _grants(self, token: str | None, link: LinkAccess) -> bool:
        return token is not None and self._tokens.is_valid(token, link.requirements, self._now())


def _require_active(link: LinkAccess | None) -> LinkAccess:
    if link is None:
        raise inactive_error(None, None)
    if link.status != "active":
        raise inactive_error(link.status, link.link.expires_at)
    return link


def _required(requirements: AccessRequirements) -> ServiceError:
    if requirements.password is not None:
        return PasswordRequiredError("This link asks for a password.")
    return OpenRequiredError("This link's views are limited: open it first.")
