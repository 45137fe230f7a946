"""Times of the console in words."""

from datetime import datetime

from service.web.pages.clock import date_text

_UNITS = ((365 * 86_400, "year"), (86_400, "day"), (3_600, "hour"), (60, "minute"))


def date_words(moment: str | None, without: str = "never") -> str:
    """Return a timestamp as people read it, in UTC; ``without`` if there is none."""
    return date_text(moment) if moment else without


def distance_words(moment: str, now: str) -> str:
    """Return how far a timestamp is from ``now``: *in 7 days*, *2 hours ago*."""
    seconds = (datetime.fromisoformat(moment) - datetime.fromisoformat(now)).total_seconds()
    for length, unit in _UNITS:
        if abs(seconds) >= length:
            count = round(abs(seconds) / length)
            words = f"{count} {unit}{'s' if count > 1 else ''}"
            return f"in {words}" if seconds > 0 else f"{words} ago"
    return "in less than a minute" if seconds > 0 else "just now"


def bucket_words(start: str, *, is_hourly: bool) -> str:
    """Return the beginning of a bucket of statistics: *26 November 2026*, *26 November, 17:00*."""
    at = datetime.fromisoformat(start)
    return f"{at.day} {at:%B}, {at:%H:%M}" if is_hourly else f"{at.day} {at:%B} {at.year}"


def label_words(start: str, *, is_hourly: bool) -> str:
    """Return the same, short, for an axis."""
    at = datetime.fromisoformat(start)
    return f"{at.day} {at:%b} {at:%H:%M}" if is_hourly else f"{at.day} {at:%b}"


def bytes_words(count: int) -> str:
    """Return a number of bytes in the unit that suits it."""
    size, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:  # noqa: PLR2004 - the next unit
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
