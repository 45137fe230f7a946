"""The checker of events: it refuses a history for exactly the promise that is broken in it."""

from dataclasses import replace
from math import inf
from typing import Any

import pytest
from calls import Call, Create, Event, Link, Put, Reading, Revoke, Rotate, Unlock, View, WholeList
from event_promises import EVENT_PROMISES, broken_events

A = Link("1", "a" * 16, "job", inf)
TIMES: dict[str, Any] = {"began": 0.0, "ended": 1.0, "began_at": 0.0, "ended_at": 1.0}
NO_ANSWER: dict[str, Any] = TIMES | {"status": None}
OK: dict[str, Any] = TIMES | {"status": 200}

CREATE = Create(**TIMES | {"status": 201}, job_id="job", link=A)
REVOKE = Revoke(**OK, link_id="1")
ROTATE = Rotate(**OK, old=A, link=replace(A, share_hash="r" * 16))
UNLOCK = Unlock(**OK, share_hash=A.share_hash, max_views=2)
VIEW = View(**OK, share_hash=A.share_hash)
PUT = Put(**OK, job_id="job", version="v1", video_id="7")


def events(*types: str, **data: object) -> list[Call]:
    """A reader that has read events of a link, and the list of them."""
    told = tuple(
        Event(number, f"shared_report.{name}", {"id": "1", "status": "expired"} | data)
        for number, name in enumerate(types, 1)
    )
    return [Reading(**OK, events=told), WholeList(**OK, events=told)]


def video_events(count: int) -> list[Call]:
    told = tuple(Event(number, "video.replaced", {"id": "7"}) for number in range(count))
    return [Reading(**OK, events=told), WholeList(**OK, events=told)]


GOOD: dict[str, list[Call]] = {
    "nothing": [],
    "a history without a list of events": [CREATE],
    "a link's life": [CREATE, ROTATE, REVOKE, *events("created", "rotated", "revoked")],
    "views and unlocks": [
        *(CREATE, VIEW, UNLOCK, UNLOCK),
        *events("created", "unlocked", "viewed", new_unlocks=2, new_views=2),
    ],
    "a link that expires": [CREATE, *events("created", "expired")],
    "a video": [replace(PUT, status=201), PUT, *video_events(1)],
    "calls without an answer that happened": [
        Create(**NO_ANSWER, job_id="job"),
        *(replace(REVOKE, status=None), replace(ROTATE, status=None, link=None)),
        *events("created", "rotated", "revoked"),
    ],
    "calls without an answer that did not happen": [
        Create(**NO_ANSWER, job_id="job"),
        *(CREATE, replace(REVOKE, status=None), replace(PUT, status=None, video_id=None)),
        *events("created"),
    ],
    "a put without an answer that happened": [
        replace(PUT, status=None, video_id=None),
        *video_events(1),
    ],
}

BAD: dict[str, tuple[str, list[Call]]] = {
    "a create has no event": ("no_event_is_lost", [CREATE, *events()]),
    "a revoke has no event": ("no_event_is_lost", [CREATE, REVOKE, *events("created")]),
    "one of two rotations has no event": (
        "no_event_is_lost",
        [CREATE, ROTATE, ROTATE, *events("created", "rotated")],
    ),
    "one of two unlocks is not told": (
        "no_event_is_lost",
        [CREATE, UNLOCK, UNLOCK, *events("created", "unlocked", new_unlocks=1)],
    ),
    "a replacement has no event": ("no_event_is_lost", [PUT, PUT, *video_events(1)]),
    "a link that nobody created": ("no_event_is_made_up", [*events("created")]),
    "a revoke that nobody asked for": (
        "no_event_is_made_up",
        [CREATE, *events("created", "revoked")],
    ),
    "a link is revoked twice": (
        "no_event_is_made_up",
        [CREATE, REVOKE, REVOKE, *events("created", "revoked", "revoked")],
    ),
    "a rotation that nobody asked for": (
        "no_event_is_made_up",
        [CREATE, *events("created", "rotated")],
    ),
    "more unlocks than were granted": (
        "no_event_is_made_up",
        [CREATE, UNLOCK, *events("created", "unlocked", new_unlocks=2)],
    ),
    "more views than were shown": (
        "no_event_is_made_up",
        [CREATE, VIEW, *events("created", "viewed", new_views=2)],
    ),
    "a replacement that nobody asked for": ("no_event_is_made_up", [PUT, *video_events(2)]),
    "a share hash in an event": (
        "events_show_what_was_asked_for",
        [CREATE, *events("created", label=A.share_hash)],
    ),
    "an expiry that is none": (
        "events_show_what_was_asked_for",
        [CREATE, *events("created", "expired", status="active")],
    ),
    "an event of another link": (
        "events_show_what_was_asked_for",
        [replace(CREATE, link=replace(A, expires_at=100)), *events("created")],
    ),
    "a reader has missed an event": (
        "no_reader_misses_an_event",
        [CREATE, REVOKE, *events("created", "revoked")[1:], *events("created")[:1]],
    ),
    "an event stands before an older one": (
        "no_reader_misses_an_event",
        [
            *(CREATE, replace(PUT, status=None)),
            Reading(**OK, events=(first := Event(2, "shared_report.created", {"id": "1"}),)),
            Reading(**OK, events=(second := Event(1, "video.replaced", {"id": "7"}),)),
            WholeList(**OK, events=(first, second)),
        ],
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_event_checker_accepts_a_valid_history(name: str) -> None:
    assert broken_events(GOOD[name]) == []


@pytest.mark.parametrize("name", BAD)
def test_event_checker_names_the_broken_promise(name: str) -> None:
    promise, calls = BAD[name]
    assert {each.partition(":")[0] for each in broken_events(calls)} == {promise}


def test_event_examples_break_each_promise() -> None:
    assert {promise for promise, _ in BAD.values()} == {each.__name__ for each in EVENT_PROMISES}
