"""Limits: how often someone may do something, in a table whose size is bounded."""

import math
from collections.abc import Hashable

from service.domain.clock import Clock
from service.domain.errors import LimitedError

_MINUTE = 60.0
_MANY = 10_000
_OTHERS = object()


class RateLimiter:
    """Token buckets: everyone may do ``per_minute`` things a minute, at once or one by one.

    A bucket is one number, the moment at which it will be full again, and one that is full is
    forgotten. While the table is full of buckets that are not, all newcomers share one: whoever
    has a great many addresses can neither make the table grow nor push anyone's bucket out of it.
    """

    def __init__(self, name: str, per_minute: int | None, clock: Clock) -> None:
        self._name = name
        self._per_minute = per_minute
        self._clock = clock
        self._full_at: dict[Hashable, float] = {}
        self._tidied = 0.0
        self._latest = 0.0

    def acquire(self, who: Hashable) -> None:
        """Count one thing that ``who`` does. Raises LimitedError where it is one too many."""
        if self._per_minute is None:
            return
        now = self._clock()
        if now < self._latest:  # a clock that was put back must not make anyone wait for it
            self._full_at.clear()
        self._latest = now
        if who not in self._full_at and not self._has_room(now):
            who = _OTHERS
        one = _MINUTE / self._per_minute
        full_in = max(self._full_at.get(who, now) - now, 0.0)
        wait = full_in + one - _MINUTE
        is_limited = wait > one / 2  # a bucket that is filled by fractions is never quite even
        self._full_at[who] = now + full_in + (0 if is_limited else one)
        if is_limited:
            raise LimitedError(self._name, self._per_minute, math.ceil(wait))

    def refund(self, who: Hashable) -> None:
        """Forget one thing that was counted, as if ``who`` had not done it."""
        if self._per_minute is not None:
            who = who if who in self._full_at else _OTHERS
            self._full_at[who] = self._full_at.get(who, 0.0) - _MINUTE / self._per_minute

    def __len__(self) -> int:
        return len(self._full_at)

    def _has_room(self, now: float) -> bool:
        if len(self._full_at) >= _MANY and abs(now - self._tidied) >= 1:  # it takes a millisecond
            self._tidied = now
            self._full_at = {who: full for who, full in self._full_at.items() if full > now}
        return len(self._full_at) < _MANY
