"""Rate limits: token buckets in a table of bounded size."""

import math
from collections.abc import Hashable

from service.domain.clock import Clock
from service.domain.errors import LimitedError

_MINUTE = 60.0
_MAX_BUCKETS = 10_000
_SHARED_BUCKET = object()


class RateLimiter:
    """Token buckets: each key may acquire ``per_minute`` tokens a minute, at once or one by one.

    A bucket is one number: the time at which it will be full again. A full bucket is deleted. If
    the table holds 10,000 buckets that are not full, all new keys share one bucket: a client with
    many addresses can neither make the table grow nor push another client's bucket out of it.
    """

    def __init__(self, name: str, per_minute: int | None, clock: Clock) -> None:
        self._name = name
        self._per_minute = per_minute
        self._clock = clock
        self._full_at: dict[Hashable, float] = {}
        self._cleaned_at = 0.0
        self._latest = 0.0

    def acquire(self, key: Hashable) -> None:
        """Take one token from the bucket of ``key``. Raises LimitedError if it is empty."""
        if self._per_minute is None:
            return
        now = self._clock()
        if now < self._latest:  # the clock was set back: nobody waits for the old time
            self._full_at.clear()
        self._latest = now
        if key not in self._full_at and not self._has_room(now):
            key = _SHARED_BUCKET
        token = _MINUTE / self._per_minute
        full_in = max(self._full_at.get(key, now) - now, 0.0)
        wait = full_in + token - _MINUTE
        is_limited = wait > token / 2  # tolerance: fractions of a token do not add up exactly
        self._full_at[key] = now + full_in + (0 if is_limited else token)
        if is_limited:
            raise LimitedError(self._name, self._per_minute, math.ceil(wait))

    def refund(self, key: Hashable) -> None:
        """Put one token back into the bucket of ``key``."""
        if self._per_minute is not None:
            key = key if key in self._full_at else _SHARED_BUCKET
            self._full_at[key] = self._full_at.get(key, 0.0) - _MINUTE / self._per_minute

    def __len__(self) -> int:
        return len(self._full_at)

    def _has_room(self, now: float) -> bool:
        if len(self._full_at) >= _MAX_BUCKETS and abs(now - self._cleaned_at) >= 1:  # it takes 1 ms
            self._cleaned_at = now
            self._full_at = {key: full for key, full in self._full_at.items() if full > now}
        return len(self._full_at) < _MAX_BUCKETS
