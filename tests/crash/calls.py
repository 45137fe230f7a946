"""The calls of a history, as their callers saw them."""

from dataclasses import dataclass
from math import inf
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call as its caller saw it; all times are in seconds."""

    began: float
    """On a clock that is never put back; so is ``ended``."""
    ended: float
    began_at: float
    """On the clock of the wall, since the epoch; so is ``ended_at``."""
    ended_at: float
    status: int | None
    """The answer's; None where the connection died."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link as the service tells it to its owner."""

    id: str
    share_hash: str
    job_id: str
    expires_at: float
    """Seconds since the epoch; infinite for never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Put(Call):
    """A video was put whole, in a version that no other call writes."""

    job_id: str
    version: str
    video_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Create(Call):
    """A link was asked for."""

    job_id: str
    expires_at: float = inf
    link: Link | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke(Call):
    """A link was to be revoked."""

    link_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotate(Call):
    """A link was to get a new share hash."""

    old: Link
    """The link as the caller knew it. Another rotation may have changed its hash meanwhile."""
    link: Link | None = None
    """The link with the new hash."""

    @property
    def link_id(self) -> str:
        return self.old.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlock(Call):
    """One view of a link with a limit was asked for."""

    share_hash: str
    max_views: int


@dataclass(frozen=True, slots=True, kw_only=True)
class View(Call):
    """A link was looked at, with or without the analysis behind it."""

    share_hash: str
    version: str | None = None
    """All versions of which the answer showed a part: one, if replacing is atomic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Call):
    """A video's links were listed; each with whether it was said to be active."""

    job_id: str
    links: tuple[tuple[Link, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """An event as the service tells it to its user."""

    id: int
    type: str
    data: dict[str, Any]
    expires_at: float = inf
    """Of a link: the seconds since the epoch; infinite for never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Call):
    """The events behind a position, read by the one reader that keeps it."""

    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeList(Call):
    """All events that there are in the end."""

    events: tuple[Event, ...] = ()
