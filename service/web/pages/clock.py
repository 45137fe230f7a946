"""Times of a video and moments of the calendar, in the words of the pages."""

import re
from datetime import datetime, timedelta

TENTHS_BELOW = 600.0
"""Seconds: a shorter video has tenths of a second in its times."""

_TIME = re.compile(r"(?:(?:(\d{1,6}):)?(\d{1,6}):)?(\d{1,9}(?:\.\d{1,9})?)", re.ASCII)
_HOURS_BELOW = 48


def clock_text(seconds: float, *, tenths: bool) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``, with tenths of a second if wanted."""
    whole, tenth = divmod(int(seconds * 10 + 1e-6), 10)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    text = f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
    return f"{text}.{tenth}" if tenths else text


def parse_time(text: str) -> float | None:
    """Seconds of ``90``, ``1:30`` or ``0:01:30``, to the millisecond; None if it is no time."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    hours, minutes, seconds = match.groups()
    return round(int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds), 3)


def time_text(seconds: float) -> str:
    """Seconds as ``parse_time`` reads them, to the millisecond."""
    milliseconds = round(seconds * 1000)
    text = clock_text(milliseconds // 1000, tenths=False)
    return f"{text}.{milliseconds % 1000:03}".rstrip("0") if milliseconds % 1000 else text


def date_text(moment: str) -> str:
    """A moment in words: ``23 November 2026, 17:00 UTC``."""
    at = datetime.fromisoformat(moment)
    return f"{at.day} {at:%B} {at.year}, {at:%H:%M} UTC"


def left_text(moment: str, hour: str) -> str:
    """How long it is from ``hour``, such as ``2026-11-23T17``, to a moment: ``in 3 days``."""
    left = datetime.fromisoformat(moment) - datetime.fromisoformat(f"{hour}:00:00")
    hours = left // timedelta(hours=1)
    if hours < 1:
        return "within the hour"
    if hours < _HOURS_BELOW:
        return f"in {hours} hour{'s' if hours > 1 else ''}"
    return f"in {left.days} days"
