"""Unlocks of one link that wait at the same time: they share one call of the writer."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from service.domain.access import AccessRequirements


class PendingUnlock(msgspec.Struct):
    """Unlocks of one link that wait for the same statement."""

    requirements: AccessRequirements
    is_page: bool
    """Whether they are views of the page: those and others never share a statement."""
    count: int = 0


class SharedUnlocks:
    """The part of an AccessRepository that joins unlocks.

    ``submit`` takes a share hash and its pending unlocks, and returns a row or None. A row has the
    fields of an AccessRequirements, and then how many of the unlocks are granted.
    """

    def __init__(self, submit: Callable[[str, PendingUnlock], "asyncio.Future[Any]"]) -> None:
        self._submit = submit
        self._pending: dict[
            tuple[AccessRequirements, bool], tuple[PendingUnlock, asyncio.Future[Any]]
        ] = {}
        """The unlocks that others may still join."""

    async def unlock(
        self, requirements: AccessRequirements, *, is_page: bool = False
    ) -> AccessRequirements | None:
        """Count one view of a link: see ``base_access.AccessRepository.unlock``."""
        key = requirements, is_page
        if key not in self._pending:
            pending = PendingUnlock(requirements, is_page)
            future = self._submit(requirements.share_hash, pending)
            self._pending[key] = pending, future
            future.add_done_callback(lambda _: self._close(pending))
        pending, future = self._pending[key]
        position, pending.count = pending.count, pending.count + 1
        row = await asyncio.shield(future)  # the other unlocks wait for it, too
        if row is None or position >= row[-1]:
            return None
        return AccessRequirements(*row[:-1])

    def stop_joining(self, unlocks: Sequence[PendingUnlock]) -> None:
        """Let no other unlock join these: their statement starts."""
        for pending in unlocks:
            self._close(pending)

    def _close(self, pending: PendingUnlock) -> None:
        key = pending.requirements, pending.is_page
        joinable, _ = self._pending.get(key, (None, None))
        if joinable is pending:
            del self._pending[key]
