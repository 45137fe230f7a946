"""Time: the injected clock, and the text format of every timestamp.

A timestamp is UTC text of whole seconds, ``2025-01-15T10:00:00``, on the wire and in the tables;
such texts sort as time does. The present is cut to the second, so a link that expires at ``T`` is
expired from the first instant of ``T`` on.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], float]
"""Returns the seconds since the epoch, as ``time.time`` does."""

Now = Callable[[], str]
"""Returns the present timestamp."""


def to_text(seconds: float) -> str:
    """Return seconds since the epoch as a timestamp."""
    return datetime.fromtimestamp(int(seconds), UTC).replace(tzinfo=None).isoformat()


class CachedNow:
    """Returns the present timestamp by ``clock``; each second is formatted once."""

    __slots__ = ("_clock", "_latest", "_text", "second")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._latest = -1
        self._text = ""
        self.second = -1
        """The time of the last ``refresh``, in seconds since the epoch. No timestamp that is
        returned later is before it."""

    def __call__(self) -> str:
        """Return the present timestamp."""
        if (present := int(self._clock())) != self._latest:
            self._latest, self._text = present, to_text(present)
        return self._text

    def refresh(self) -> int:
        """Set ``second`` to the present time, and return it."""
        self.second = int(self._clock())
        return self.second


def to_seconds(moment: str) -> float:
    """Return a timestamp as seconds since the epoch."""
    return datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()


def parse(text: str, *, rounds_up: bool = False) -> str:
    """Return any ISO 8601 date or date-time as a timestamp.

    An offset is converted to UTC; none means UTC; a bare date is its midnight UTC. A fraction of a
    second is cut, or with ``rounds_up`` makes it the next second. Raises ValueError for other text
    and for times outside the years 1 to 9999.
    """
    moment = datetime.fromisoformat(text)
    try:
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        if rounds_up and moment.microsecond:
            moment = moment.replace(microsecond=0) + timedelta(seconds=1)
    except OverflowError as error:
        raise ValueError(text) from error
    return moment.isoformat(timespec="seconds")
