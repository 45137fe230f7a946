"""The promises that must hold whatever happens to the process, checked on what its callers saw.

A history is the list of all calls, each with the moments at which it began and ended and with
what came back. Calls overlap, so of two calls one is the later only if it began after the other
had ended; and of a call whose connection died nobody knows whether it took effect, only that it
did so before its end or never: the process was gone by then.

``broken`` tells what a history proves to be broken. Another promise is another function in
``PROMISES``.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf

from calls import (
    Call,
    Create,
    Link,
    Listing,
    Put,
    Reading,
    Revoke,
    Rotate,
    Unlock,
    View,
    WholeList,
)

_CLOCK_TOLERANCE = 0.05  # seconds


@dataclass
class Story:
    """What the history tells of one link."""

    link: Link
    made: float = -inf
    """Before this moment it was not there: the call that made it began."""
    known: float = inf
    """From when on it is known to be there: its create was answered, or a list showed it."""
    seen: list[Call] = field(default_factory=list)
    """The calls that found it in the table, alive or expired."""
    missed: list[Call] = field(default_factory=list)
    """The calls that did not."""
    revokes: list[Revoke | Rotate] = field(default_factory=list)
    """The calls that may have ended it."""
    ends: list[Call] = field(default_factory=list)
    """Those of them that have."""

    @property
    def gone(self) -> float:
        """From when on it is known to be revoked, or to have another hash."""
        return min((each.ended for each in (*self.missed, *self.ends)), default=inf)


class History:
    """All calls, and what they tell of each link."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        self.stories: dict[str, Story] = {}
        """By share hash."""
        self.rotated = {call.link_id for call in calls if isinstance(call, Rotate)}
        """Ids of links that may have had several hashes: several stories."""
        self._by_id: dict[str, list[Story]] = defaultdict(list)
        self._by_job: dict[str, list[Story]] = defaultdict(list)
        for call, link in told(calls):
            if link.share_hash not in self.stories:
                story = self.stories[link.share_hash] = Story(link)
                self._by_id[link.id].append(story)
                self._by_job[link.job_id].append(story)
            story = self.stories[link.share_hash]
            story.known = min(story.known, call.ended)
            if isinstance(call, Rotate):
                story.made = call.began
        for call in calls:
            self._note(call)

    def _note(self, call: Call) -> None:
        match call:
            case View(status=200 | 410):
                self.stories[call.share_hash].seen.append(call)
            case Unlock(status=200 | 410):
                self.stories[call.share_hash].seen.append(call)
            case View(status=404):
                self.stories[call.share_hash].missed.append(call)
            case Revoke(status=404) | Rotate(status=404):
                for story in self._by_id[call.link_id]:
                    story.missed.append(call)
            case Revoke(status=200 | None) | Rotate(status=200 | None):
                for story in self._by_id[call.link_id]:
                    self._note_end(story, call)
            case Listing(status=200):
                self._note_list(call)
            case _:
                pass

    def _note_end(self, story: Story, call: Revoke | Rotate) -> None:
        """Note a call that ends a link, or one hash of it."""
        if call.ended < story.made or (isinstance(call, Rotate) and call.link == story.link):
            return
        story.revokes.append(call)
        if call.status is None:
            return
        if isinstance(call, Revoke) or story.known <= call.began:
            story.ends.append(call)
        if call.link_id not in self.rotated:
            story.seen.append(call)

    def _note_list(self, call: Listing) -> None:
        listed = {link.share_hash for link, _ in call.links}
        for story in self._by_job[call.job_id]:
            if story.link.share_hash in listed:
                story.seen.append(call)
            elif story.known < call.began:
                story.missed.append(call)


def told(calls: Iterable[Call]) -> Iterator[tuple[Call, Link]]:
    """Every link that was told, with the call that told it."""
    for call in calls:
        if isinstance(call, (Create, Rotate)) and call.link is not None:
            yield call, call.link
        elif isinstance(call, Listing):
            yield from ((call, link) for link, _ in call.links)


def broken(calls: Sequence[Call]) -> list[str]:
    """What the history proves to be broken; nothing of a good one."""
    history = History(calls)
    return [f"{promise.__name__}: {each}" for promise in PROMISES for each in promise(history)]


def no_create_is_lost(history: History) -> Iterator[str]:
    """A link that is known to be there stays, unless somebody began to revoke it.

    Once it was seen after a revoke whose answer was lost, that revoke is no excuse any more.
    """
    for story in history.stories.values():
        last_seen = max((call.began for call in story.seen), default=-inf)
        excuses = [each.began for each in story.revokes if each.ended >= last_seen]
        for call in story.missed:
            if min(excuses, default=inf) > call.ended:
                yield f"{story.link} is missing from {call}"


def no_revoke_is_undone(history: History) -> Iterator[str]:
    """Once a revoke was acknowledged, or the link found gone, no later call finds it."""
    for story in history.stories.values():
        gone = story.gone
        for call in story.seen:
            if call.began > gone:
                yield f"{story.link}, gone since {gone}, is back in {call}"


def expiry_is_to_the_second(history: History) -> Iterator[str]:
    """``expires_at > now`` is alive, and nothing else is."""
    for call in history.calls:
        if isinstance(call, View) and call.status in {200, 410}:
            answers = [(history.stories[call.share_hash].link, call.status == 200)]
        elif isinstance(call, Listing):
            answers = list(call.links)
        else:
            continue
        for link, alive in answers:
            if alive and call.began_at >= link.expires_at:
                yield f"{link} had expired before {call}"
            if not alive and call.ended_at < link.expires_at:
                yield f"{link} had not expired after {call}"


def nothing_is_given_twice(history: History) -> Iterator[str]:
    """An id and a hash name one link for ever, that one create made; a job has one video.

    A rotated link keeps its id, its video and its end.
    """
    owners: dict[tuple[str, str], object] = {}
    for kind, name, owner in _claims(history):
        first = owners.setdefault((kind, name), owner)
        if first != owner:
            yield f"{kind} {name} is of {first} and of {owner}"


def _claims(history: History) -> Iterator[tuple[str, str, object]]:
    for call, link in told(history.calls):
        is_rotated = link.id in history.rotated
        yield "id", link.id, (link.job_id, link.expires_at) if is_rotated else link
        yield "hash", link.share_hash, link
        if isinstance(call, Create):
            yield "link", link.id, call
        if isinstance(call, (Create, Rotate)):
            yield "new hash", link.share_hash, call
    for call in history.calls:
        if isinstance(call, Put) and call.video_id is not None:
            yield "video", call.video_id, call.job_id
            yield "job", call.job_id, call.video_id


def nothing_comes_from_nowhere(history: History) -> Iterator[str]:
    """Each link is what its create asked for, be it that of a create whose answer was lost.

    So is each new hash of a link.
    """
    lost: Counter[tuple[str, float]] = Counter()
    answered = set()
    for call in history.calls:
        if isinstance(call, (Create, Rotate)):
            asked = call.old if isinstance(call, Rotate) else call
            if call.status is None:
                lost[asked.job_id, asked.expires_at] += 1
            elif call.link is not None:
                answered.add(call.link)
                if (call.link.job_id, call.link.expires_at) != (asked.job_id, asked.expires_at):
                    yield f"{call} did not get what it had asked for"
    strangers = Counter(
        (story.link.job_id, story.link.expires_at)
        for story in history.stories.values()
        if story.link not in answered
    )
    for (job_id, expires_at), count in (strangers - lost).items():
        yield f"{count} links to {job_id} until {expires_at} that nobody asked for"


def view_limits_are_exact(history: History) -> Iterator[str]:
    """Of a link's unlocks ``max_views`` succeed, and none is refused while one is left.

    One without an answer may have used a view.
    """
    unlocks: dict[str, list[Unlock]] = defaultdict(list)
    for call in history.calls:
        if isinstance(call, Unlock):
            unlocks[call.share_hash].append(call)
    for calls in unlocks.values():
        granted = [call for call in calls if call.status == 200]
        if len(granted) > calls[0].max_views:
            yield f"{len(granted)} views of {calls[0].max_views} in {granted}"
        uses = sorted(call.began for call in calls if call.status in {200, None})
        for call in calls:
            if call.status == 410 and bisect_left(uses, call.ended) < call.max_views:
                yield f"there was a view left at {call}"


def no_view_is_older(history: History) -> Iterator[str]:
    """A view shows one whole version, and none that was replaced before the view began.

    A version is known to be there from its acknowledgement on, or from the end of the first view
    that showed it.
    """
    puts = {call.version: call for call in history.calls if isinstance(call, Put)}
    views = [call for call in history.calls if isinstance(call, View) and call.version is not None]
    known = {put.version: put.ended for put in puts.values() if put.status is not None}
    for view in views:
        if view.version in puts:
            known[view.version] = min(known.get(view.version, inf), view.ended)
    # For each video: from when on each version is known, and the latest begin of those known then.
    floors: dict[str, tuple[list[float], list[float]]] = {}
    for job_id in {put.job_id for put in puts.values()}:
        versions = sorted(
            (since, puts[version].began)
            for version, since in known.items()
            if puts[version].job_id == job_id
        )
        floors[job_id] = (
            [since for since, _ in versions],
            list(accumulate((began for _, began in versions), max)),
        )
    for view in views:
        job_id = history.stories[view.share_hash].link.job_id
        put = puts.get(view.version or "")
        if put is None or put.job_id != job_id or put.began > view.ended:
            yield f"nobody had written what {view} shows of {job_id}"
            continue
        since, latest = floors[job_id]
        before = bisect_left(since, view.began)
        if before and latest[before - 1] > put.ended:
            yield f"{put.version} had been replaced before {view}"


def answers_are_expected(history: History) -> Iterator[str]:
    """Whatever happens to the process, nobody is told of a fault."""
    for call in history.calls:
        expected = _EXPECTED[type(call)]
        # A create may arrive too late for the expiry that it asks for.
        if isinstance(call, Create) and call.expires_at <= call.ended_at:
            expected = expected | {422}
        if call.status is not None and call.status not in expected:
            yield f"{call}"


_EXPECTED: dict[type[Call], set[int]] = {
    Put: {200, 201},
    Create: {201},
    Revoke: {200, 404},
    Rotate: {200, 404},
    Unlock: {200, 410},
    View: {200, 404, 410},
    Listing: {200},
    Reading: {200},
    WholeList: {200},
}


def the_clock_was_left_alone(history: History) -> Iterator[str]:
    """Nothing is proven of expiry, nor of its breach, if the wall's clock was put on or back."""
    offsets = [call.began_at - call.began for call in history.calls]
    if offsets and max(offsets) - min(offsets) > _CLOCK_TOLERANCE:
        yield f"it was moved by {max(offsets) - min(offsets)} s"


PROMISES: tuple[Callable[[History], Iterator[str]], ...] = (
    nothing_is_given_twice,
    no_create_is_lost,
    no_revoke_is_undone,
    expiry_is_to_the_second,
    nothing_comes_from_nowhere,
    view_limits_are_exact,
    no_view_is_older,
    answers_are_expected,
    the_clock_was_left_alone,
)
