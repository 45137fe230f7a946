"""Memory of large request bodies: bounded for each user, and in sum."""

import asyncio
from collections import defaultdict
from typing import cast

from service.domain.errors import UnavailableError

_MIB = 2**20
TOTAL_MAX = 512 * _MIB
"""Bytes of large bodies in memory: each as it came, and its limit again if it is unpacked."""
USER_MAX = 256 * _MIB
"""Bytes of these that may be one user's."""


class BodyMemory:
    """The bytes of large bodies that are in memory now."""

    def __init__(self, total_max: int = TOTAL_MAX, user_max: int = USER_MAX) -> None:
        self.total = 0
        self._total_max, self._user_max = total_max, user_max
        self._by_user: defaultdict[str, int] = defaultdict(int)

    def lease(self, user_id: str) -> "BodyLease":
        """Return the bytes of one request, none yet; they end with the current task."""
        lease = BodyLease(self, user_id)
        task = cast("asyncio.Task[object]", asyncio.current_task())  # each request has its own
        task.add_done_callback(lambda _: self.change(user_id, -lease.size))
        return lease

    def change(self, user_id: str, size: int) -> None:
        """Count ``size`` more bytes of a user. Raises UnavailableError if there are too many."""
        used, total = self._by_user[user_id] + size, self.total + size
        if size > 0 and (used > self._user_max or total > self._total_max):
            raise UnavailableError("Too many large bodies are being read. Try again.")
        self.total = total
        self._by_user[user_id] = used
        if not used:
            del self._by_user[user_id]


class BodyLease:
    """The bytes of one request's body."""

    def __init__(self, memory: BodyMemory, user_id: str) -> None:
        self.size = 0
        self._memory = memory
        self._user_id = user_id

    def add(self, size: int) -> None:
        """Count ``size`` more bytes. Raises UnavailableError if there are too many."""
        self._memory.change(self._user_id, size)
        self.size += size
