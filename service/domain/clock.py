"""Time: the injected clock, and the one text format of every moment.

A moment is UTC text of whole seconds, ``2025-01-15T10:00:00``, on the wire and in the table
alike; such texts sort as time does. Seconds are cut, never rounded up, so that a link that
expires at ``T`` is dead from the first instant of ``T`` on.
"""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], float]
"""Returns the seconds since the epoch, as ``time.time`` does."""

Now = Callable[[], str]
"""Returns the present moment as text."""


def to_text(seconds: float) -> str:
    """Seconds since the epoch as a moment's text."""
    return datetime.fromtimestamp(int(seconds), UTC).replace(tzinfo=None).isoformat()


class CachedNow:
    """Returns the present moment of ``clock`` as text; each second's text is made only once."""

    __slots__ = ("_clock", "_latest", "_text", "second")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._latest = -1
        self._text = ""
        self.second = -1
        """The moment of the last ``refresh``, in seconds since the epoch: none that is returned
        later is before it."""

    def __call__(self) -> str:
        """Return the present moment."""
        if (present := int(self._clock())) != self._latest:
            self._latest, self._text = present, to_text(present)
        return self._text

    def refresh(self) -> int:
        """Set ``second`` to the present moment, and return it."""
        self.second = int(self._clock())
        return self.second


def to_seconds(moment: str) -> float:
    """A moment's text as seconds since the epoch."""
    return datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()


def parse(text: str) -> str:
    """Any ISO 8601 date or date-time as a moment's text.

    An offset is converted to UTC; none means UTC; a bare date is its midnight UTC.
    Raises ValueError for everything else, moments outside the years 1 to 9999 included.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        try:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        except OverflowError as error:
            raise ValueError(text) from error
    return moment.isoformat(timespec="seconds")
