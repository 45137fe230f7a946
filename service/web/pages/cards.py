"""What the overview of a report says of a module."""

from dataclasses import dataclass

from service.web.pages.plots import Plot


@dataclass(frozen=True, slots=True)
class Share:
    """A value and how often it is there, of all findings that have one of its name."""

    value: str
    count: int
    percent: int


@dataclass(frozen=True, slots=True)
class Tally:
    """The most frequent values of one name."""

    name: str
    shares: list[Share]
    others: int
    """How many further values there are."""


@dataclass(frozen=True, slots=True)
class Card:
    """One module at a glance."""

    number: int
    name: str
    count: int
    covers: int | None
    """Percent of the time that its findings cover."""
    words: int
    """Of a transcript; 0 for others."""
    is_in_signs: bool
    """Whether ``words`` are characters: the script has no spaces between words."""
    minutes: int
    speakers: Tally | None
    tallies: list[Tally]
    plots: list[Plot]
