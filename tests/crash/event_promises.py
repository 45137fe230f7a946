"""What must hold of the events of a storm: none is lost, none is made up, none is passed over.

``broken_events`` tells what a history proves to be broken, of the events that a ``WholeList`` shows
after the last call. An acknowledged change has its event, and each event has a call, acknowledged
or without an answer, that may have done what it tells of.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from calls import Call, Create, Event, Put, Reading, Revoke, Rotate, Unlock, View, WholeList
from history import History

K = TypeVar("K")


@dataclass
class Told:
    """A history, and the events that there were in the end."""

    history: History
    events: tuple[Event, ...]

    def count(self, event_type: str, amount: str = "") -> Counter[str]:
        """How many events of a type there are of each link or video, or what they add up to."""
        counts: Counter[str] = Counter()
        for event in self.events:
            if event.type == event_type:
                counts[event.data["id"]] += event.data[amount] if amount else 1
        return counts

    def calls(self, *types: type[Call]) -> Iterator[tuple[Call, str]]:
        """The calls of these types, each with the id of its link or video, if that is known."""
        for call in self.history.calls:
            if isinstance(call, types):
                yield call, self._id_of(call)

    def _id_of(self, call: Call) -> str:
        match call:
            case Create(link=link) if link is not None:
                return link.id
            case Revoke() | Rotate():
                return call.link_id
            case Put(video_id=video_id) if video_id is not None:
                return video_id
            case Unlock() | View():
                story = self.history.stories.get(call.share_hash)
                return "" if story is None else story.link.id
            case _:
                return ""


def broken_events(calls: Sequence[Call]) -> list[str]:
    """What the history proves to be broken; nothing of a good one, or of one without a list."""
    lists = [call for call in calls if isinstance(call, WholeList)]
    if not lists:
        return []
    told = Told(History(calls), lists[-1].events)
    return [f"{promise.__name__}: {each}" for promise in EVENT_PROMISES for each in promise(told)]


_CHANGES: tuple[tuple[str, str, tuple[type[Call], ...], int], ...] = (
    ("shared_report.created", "", (Create,), 201),
    ("shared_report.revoked", "", (Revoke,), 200),
    ("shared_report.rotated", "", (Rotate,), 200),
    ("shared_report.unlocked", "new_unlocks", (Unlock,), 200),
    ("video.replaced", "", (Put,), 200),
)
"""Types of events with what counts, the calls that cause them and the status of success."""


def no_event_is_lost(told: Told) -> Iterator[str]:
    """Each acknowledged change has an event of its own."""
    for event_type, amount, causes, status in _CHANGES:
        done = Counter(name for call, name in told.calls(*causes) if call.status == status)
        for name, count in (done - told.count(event_type, amount)).items():
            yield f"{count} of {done[name]} {event_type} of {name}"


def no_event_is_made_up(told: Told) -> Iterator[str]:
    """No event tells of more than what was acknowledged, or asked for without an answer."""
    for event_type, amount, causes, status in _CHANGES[1:4]:
        asked = Counter(name for call, name in told.calls(*causes) if call.status in {status, None})
        yield from _more(told.count(event_type, amount), asked, event_type)
    yield from _more(
        told.count("shared_report.viewed", "new_views"),
        Counter(name for call, name in told.calls(View, Unlock) if call.status in {200, None}),
        "views",
    )
    for event_type in ("created", "revoked", "expired", "exhausted"):
        for name, count in told.count(f"shared_report.{event_type}").items():
            if count > 1:
                yield f"{count} {event_type} of {name}"
    lost = sum(call.status is None for call, _ in told.calls(Create))
    known = {name for call, name in told.calls(Create) if call.status == 201}
    strangers = told.count("shared_report.created").keys() - known
    if len(strangers) > lost:
        yield f"{len(strangers)} links were created by {lost} creates without an answer"
    puts = Counter(name for call, name in told.calls(Put) if call.status == 200)
    unknown = sum((told.count("video.replaced") - puts).values())
    if unknown > (lost := sum(call.status is None for call, _ in told.calls(Put))):
        yield f"{unknown} videos were replaced by {lost} puts without an answer"


def _more(counts: Counter[K], bounds: Counter[K], what: str) -> Iterator[str]:
    for name, count in (counts - bounds).items():
        yield f"{count} {what} of {name} beyond {bounds[name]}"


def events_show_what_was_asked_for(told: Told) -> Iterator[str]:
    """And their moment: a link expires at its end, and its share hash is in no event."""
    links = {story.link.id: story.link for story in told.history.stories.values()}
    hashes = told.history.stories.keys()
    for event in told.events:
        if not hashes.isdisjoint(map(str, event.data.values())):
            yield f"a share hash in {event}"
        if event.type == "shared_report.expired" and event.data["status"] != "expired":
            yield f"not expired: {event}"
        link = links.get(event.data["id"]) if event.type.startswith("shared_report.") else None
        if link is not None and event.expires_at != link.expires_at:
            yield f"{event} is not {link}"


def no_reader_misses_an_event(told: Told) -> Iterator[str]:
    """A reader that keeps its position has read what the whole list has, in that order."""
    readings = [call for call in told.history.calls if isinstance(call, Reading)]
    read = [
        event for call in sorted(readings, key=lambda call: call.began) for event in call.events
    ]
    ids = [event.id for event in told.events]
    if ids != sorted(set(ids)):
        yield "the ids do not grow in the list"
    if read != list(told.events):
        missed = {event.id for event in told.events} - {event.id for event in read}
        yield f"{len(read)} events were read of {len(ids)}; missed: {sorted(missed)[:10]}"


EVENT_PROMISES: tuple[Callable[[Told], Iterator[str]], ...] = (
    no_event_is_lost,
    no_event_is_made_up,
    events_show_what_was_asked_for,
    no_reader_misses_an_event,
)
