"""The checker itself: it refuses a history for exactly the promise that is broken in it."""

from dataclasses import replace
from math import inf

import pytest
from calls import Call, Create, Link, Listing, Put, Revoke, Rotate, Unlock, View
from history import PROMISES, broken

A = Link("1", "a" * 16, "job", inf)
B = Link("2", "b" * 16, "job", inf)
BRIEF = replace(A, expires_at=100)
ROTATED = replace(A, share_hash="r" * 16)
AGAIN = replace(A, share_hash="s" * 16)


def times(began: float, ended: float) -> dict[str, float]:
    return {"began": began, "ended": ended, "began_at": began, "ended_at": ended}


def put(began: float, ended: float, version: str, status: int | None = 200) -> Put:
    known = None if status is None else "1"
    return Put(**times(began, ended), status=status, job_id="job", version=version, video_id=known)


def create(began: float, ended: float, link: Link = A, status: int | None = 201) -> Create:
    return Create(
        **times(began, ended),
        status=status,
        job_id=link.job_id,
        expires_at=link.expires_at,
        link=link if status == 201 else None,
    )


def revoke(began: float, ended: float, status: int | None = 200, link: Link = A) -> Revoke:
    return Revoke(**times(began, ended), status=status, link_id=link.id)


def view(
    began: float,
    ended: float,
    status: int | None = 200,
    version: str | None = None,
    link: Link = A,
) -> View:
    return View(**times(began, ended), status=status, share_hash=link.share_hash, version=version)


def rotate(
    began: float, ended: float, link: Link = ROTATED, status: int | None = 200, old: Link = A
) -> Rotate:
    rotated = link if status == 200 else None
    return Rotate(**times(began, ended), status=status, old=old, link=rotated)


def unlock(began: float, ended: float, status: int | None = 200, max_views: int = 1) -> Unlock:
    return Unlock(
        **times(began, ended), status=status, share_hash=A.share_hash, max_views=max_views
    )


def listing(began: float, ended: float, *links: Link, active: bool = True) -> Listing:
    shown = tuple((link, active) for link in links)
    return Listing(**times(began, ended), status=200, job_id="job", links=shown)


GOOD: dict[str, list[Call]] = {
    "nothing": [],
    "a link's whole life": [
        put(0, 1, "v1", 201),
        create(2, 3),
        view(4, 5, version="v1"),
        listing(6, 7, A),
        revoke(8, 9),
        view(10, 11, 404),
        listing(12, 13),
        revoke(14, 15, 404),
    ],
    "calls without an answer": [
        put(0, 1, "v1"),
        create(2, 3),
        view(4, 5, None),
        replace(listing(4, 5), status=None),
    ],
    "a revoke without an answer that happened": [
        create(0, 1),
        revoke(2, 3, None),
        view(4, 5, 404),
        revoke(6, 7, 404),
        listing(8, 9),
    ],
    "a revoke without an answer that did not happen": [
        create(0, 1),
        revoke(2, 3, None),
        view(4, 5),
        listing(6, 7, A),
        revoke(8, 9),
        view(10, 11, 404),
    ],
    "views on both sides while a revoke is under way": [
        create(0, 1),
        revoke(2, 9),
        view(3, 4),
        view(5, 6, 404),
        view(1.5, 8),
    ],
    "a view that began before the revoke was acknowledged": [
        create(0, 1),
        revoke(2, 4),
        view(3, 6),
    ],
    "a revoke without an answer that happened while a view was under way": [
        create(0, 1),
        view(1.5, 8),
        revoke(2, 3, None),
        view(9, 10, 404),
    ],
    "two revokes at once": [create(0, 1), revoke(2, 5), revoke(3, 4, 404)],
    "a create without an answer that happened": [
        create(0, 1, A, None),
        listing(2, 3, A),
        view(4, 5),
        revoke(6, 7),
        view(8, 9, 404),
    ],
    "a create without an answer, of a link with an end, that happened": [
        create(0, 1, BRIEF, None),
        listing(2, 3, BRIEF),
    ],
    "a create without an answer that did not happen": [create(0, 1, A, None), listing(2, 3)],
    "a list while a create is under way": [create(0, 9), listing(1, 2), listing(3, 4, A)],
    "a list that began before a create was acknowledged": [create(0, 2), listing(1, 3)],
    "a link alive up to its end and dead from it on": [
        create(0, 1, BRIEF),
        view(98, 99.999),
        listing(98, 99.999, BRIEF),
        view(100, 101, 410),
        listing(100, 101, BRIEF, active=False),
        revoke(102, 103),
        view(104, 105, 404),
    ],
    "a view that began before the end": [create(0, 1, BRIEF), view(99, 101), view(99, 100, 410)],
    "a create that came too late": [create(99, 100, BRIEF, 422)],
    "a link with a new hash": [
        create(0, 1),
        rotate(2, 3),
        view(4, 5, 404),
        view(4, 5, link=ROTATED),
        listing(6, 7, ROTATED),
        revoke(8, 9),
        view(10, 11, 404, link=ROTATED),
        rotate(12, 13, status=404),
    ],
    "views on both sides while a link is rotated": [
        create(0, 1),
        rotate(2, 9),
        view(3, 4),
        view(3, 4, link=ROTATED),
        view(5, 6, 404),
    ],
    "a rotation without an answer that happened": [
        create(0, 1),
        rotate(2, 3, status=None),
        view(4, 5, 404),
        listing(6, 7, ROTATED),
        view(8, 9, link=ROTATED),
    ],
    "a rotation without an answer that did not happen": [
        create(0, 1),
        rotate(2, 3, status=None),
        view(4, 5),
    ],
    "two rotations at once": [
        create(0, 1),
        rotate(2, 6),
        rotate(3, 5, AGAIN),
        view(7, 8, 404),
        view(7, 8, 404, link=AGAIN),
        view(7, 8, link=ROTATED),
    ],
    "a link with one view": [create(0, 1), unlock(2, 3), unlock(4, 5, 410)],
    "a view that another one has taken before its answer": [
        create(0, 1),
        unlock(2, 9),
        unlock(3, 4, 410),
    ],
    "a view that an unlock without an answer has taken": [
        create(0, 1),
        unlock(2, 3, None, 2),
        unlock(4, 5, 200, 2),
        unlock(6, 7, 410, 2),
    ],
    "versions in their order": [
        put(0, 1, "v1"),
        create(2, 3),
        view(4, 5, version="v1"),
        put(6, 7, "v2"),
        view(8, 9, version="v2"),
    ],
    "both versions while one is being written": [
        put(0, 1, "v1"),
        create(2, 3),
        put(4, 9, "v2"),
        view(5, 6, version="v1"),
        view(7, 8, version="v2"),
    ],
    "a version that was replaced while it was viewed": [
        put(0, 1, "v1"),
        create(2, 3),
        view(4, 9, version="v1"),
        put(5, 6, "v2"),
    ],
    "a version that is older than another video's": [
        put(0, 1, "v1"),
        replace(put(2, 3, "v2"), job_id="other", video_id="2"),
        create(4, 5),
        view(6, 7, version="v1"),
    ],
    "either version after a put without an answer": [
        put(0, 1, "v1"),
        create(2, 3),
        put(4, 5, "v2", None),
        view(6, 7, version="v1"),
        put(8, 9, "v3", None),
        view(10, 11, version="v3"),
    ],
    "either of two versions that were written at once": [
        put(0, 5, "v1"),
        put(1, 4, "v2"),
        create(6, 7),
        view(8, 9, version="v1"),
    ],
}

BAD: dict[str, tuple[str, list[Call]]] = {
    "a view misses an acknowledged link": (
        "no_create_is_lost",
        [create(0, 1), view(2, 3, 404)],
    ),
    "a list misses an acknowledged link": ("no_create_is_lost", [create(0, 1), listing(2, 3)]),
    "a list misses a link that a list has shown": (
        "no_create_is_lost",
        [create(0, 1, A, None), listing(2, 3, A), listing(4, 5)],
    ),
    "a list misses a link while another shows it": (
        "no_create_is_lost",
        [create(0, 1), listing(2, 9, A), listing(4, 5)],
    ),
    "a revoke misses an acknowledged link": (
        "no_create_is_lost",
        [create(0, 1), revoke(2, 3, 404)],
    ),
    "a link is missing before anybody began to revoke it": (
        "no_create_is_lost",
        [create(0, 1), view(2, 3, 404), revoke(4, 5, None)],
    ),
    "a link that outlived a revoke without an answer is lost later": (
        "no_create_is_lost",
        [create(0, 1), view(1.5, 2), revoke(2, 3, None), view(4, 5), view(6, 7, 404)],
    ),
    "a view succeeds after a revoke": (
        "no_revoke_is_undone",
        [create(0, 1), revoke(2, 3), view(3.5, 4)],
    ),
    "a revoked link is back, and has expired": (
        "no_revoke_is_undone",
        [create(0, 1, BRIEF), revoke(2, 3), view(101, 102, 410)],
    ),
    "a revoked link is listed": (
        "no_revoke_is_undone",
        [create(0, 1), revoke(2, 3), listing(4, 5, A)],
    ),
    "a revoked link is revoked again": (
        "no_revoke_is_undone",
        [create(0, 1), revoke(2, 3), revoke(4, 5)],
    ),
    "a revoke without an answer is undone once it has been seen": (
        "no_revoke_is_undone",
        [create(0, 1), revoke(2, 9, None), view(3, 4, 404), view(5, 6)],
    ),
    "a revoke without an answer is undone once a list has shown it": (
        "no_revoke_is_undone",
        [create(0, 1), revoke(2, 9, None), listing(3, 4), view(5, 6)],
    ),
    "a view succeeds at the very second of the end": (
        "expiry_is_to_the_second",
        [create(0, 1, BRIEF), view(100, 101)],
    ),
    "a link dies before its end": (
        "expiry_is_to_the_second",
        [create(0, 1, BRIEF), view(99, 99.999, 410)],
    ),
    "a link without an end expires": ("expiry_is_to_the_second", [create(0, 1), view(2, 3, 410)]),
    "an expired link is listed as active": (
        "expiry_is_to_the_second",
        [create(0, 1, BRIEF), listing(100, 101, BRIEF)],
    ),
    "a living link is listed as inactive": (
        "expiry_is_to_the_second",
        [create(0, 1, BRIEF), listing(2, 3, BRIEF, active=False)],
    ),
    "a view succeeds by the hash before a rotation": (
        "no_revoke_is_undone",
        [create(0, 1), rotate(2, 3), view(4, 5)],
    ),
    "a list shows the hash before a rotation": (
        "no_revoke_is_undone",
        [create(0, 1), rotate(2, 3), listing(4, 5, A, ROTATED)],
    ),
    "a view succeeds by a new hash after the revoke": (
        "no_revoke_is_undone",
        [create(0, 1), rotate(2, 3), revoke(4, 5), view(6, 7, link=ROTATED)],
    ),
    "a view misses a new hash": (
        "no_create_is_lost",
        [create(0, 1), rotate(2, 3), view(4, 5, 404, link=ROTATED)],
    ),
    "a view misses a new hash, which an earlier rotation excuses not": (
        "no_create_is_lost",
        [create(0, 1), rotate(2, 3), rotate(4, 5, AGAIN), view(6, 7, 404, link=AGAIN)],
    ),
    "a hash is given by two rotations": (
        "nothing_is_given_twice",
        [create(0, 1), rotate(2, 5), rotate(3, 6)],
    ),
    "more views than allowed": (
        "view_limits_are_exact",
        [create(0, 1), unlock(2, 5), unlock(3, 4)],
    ),
    "an unlock is refused while a view is left": (
        "view_limits_are_exact",
        [create(0, 1), unlock(2, 3, 200, 2), unlock(4, 5, 410, 2), unlock(6, 7, 200, 2)],
    ),
    "an id is given twice": (
        "nothing_is_given_twice",
        [create(0, 1), create(2, 3, replace(B, id=A.id))],
    ),
    "a revoked link's id is given again": (
        "nothing_is_given_twice",
        [create(0, 1), revoke(2, 3), create(4, 5, replace(B, id=A.id))],
    ),
    "a hash is given twice": (
        "nothing_is_given_twice",
        [create(0, 1), create(2, 3, replace(B, share_hash=A.share_hash))],
    ),
    "a link is given to two creates": ("nothing_is_given_twice", [create(0, 1), create(2, 3)]),
    "a list shows another hash of a link": (
        "nothing_is_given_twice",
        [create(0, 1), create(0, 1, A, None), listing(2, 3, A, replace(B, id=A.id))],
    ),
    "two videos have one id": (
        "nothing_is_given_twice",
        [put(0, 1, "v1"), replace(put(2, 3, "v2"), job_id="other")],
    ),
    "a video's id changes": (
        "nothing_is_given_twice",
        [put(0, 1, "v1"), replace(put(2, 3, "v2"), video_id="2")],
    ),
    "a link is listed that nobody asked for": ("nothing_comes_from_nowhere", [listing(0, 1, A)]),
    "one create without an answer made two links": (
        "nothing_comes_from_nowhere",
        [create(0, 1, A, None), listing(2, 3, A, B)],
    ),
    "a link has another end than was asked for": (
        "nothing_comes_from_nowhere",
        [create(0, 1, replace(A, expires_at=200), None), listing(2, 3, BRIEF)],
    ),
    "a create is answered with another end": (
        "nothing_comes_from_nowhere",
        [replace(create(0, 1, BRIEF), expires_at=inf)],
    ),
    "a create is answered with another video": (
        "nothing_comes_from_nowhere",
        [replace(create(0, 1), job_id="other")],
    ),
    "a view shows a version that had been replaced": (
        "no_view_is_older",
        [put(0, 1, "v1"), put(2, 3, "v2"), create(4, 5), view(6, 7, version="v1")],
    ),
    "a view shows an older version than the view before it": (
        "no_view_is_older",
        [
            put(0, 1, "v1"),
            put(2, 3, "v2", None),
            create(4, 5),
            view(6, 7, version="v2"),
            view(8, 9, version="v1"),
        ],
    ),
    "a version without an answer appears after a later one": (
        "no_view_is_older",
        [put(0, 1, "v1", None), put(2, 3, "v2"), create(4, 5), view(6, 7, version="v1")],
    ),
    "a view shows a version that was replaced by another than the last": (
        "no_view_is_older",
        [
            put(0, 3, "v1"),
            put(4, 5, "v2"),
            put(2, 9, "v3"),
            create(6, 7),
            view(10, 11, version="v1"),
        ],
    ),
    "a view shows a mixture of versions": (
        "no_view_is_older",
        [put(0, 1, "v1"), put(2, 3, "v2"), create(4, 5), view(6, 7, version="v1 + v2")],
    ),
    "a view shows nothing at all": (
        "no_view_is_older",
        [put(0, 1, "v1"), create(2, 3), view(4, 5, version="")],
    ),
    "a view shows what was written after it": (
        "no_view_is_older",
        [put(0, 1, "v1"), create(2, 3), view(4, 5, version="v2"), put(6, 7, "v2")],
    ),
    "a view shows another video": (
        "no_view_is_older",
        [
            put(0, 1, "v1"),
            replace(put(2, 3, "v2"), job_id="other", video_id="2"),
            create(4, 5),
            view(6, 7, version="v2"),
        ],
    ),
    "a call meets a fault": (
        "answers_are_expected",
        [create(0, 1, A, 500)],
    ),
    "a video is lost": ("answers_are_expected", [replace(listing(0, 1), status=404)]),
    "a create is refused in good time": (
        "answers_are_expected",
        [create(0, 1, BRIEF, 422)],
    ),
    "the clock is put on": (
        "the_clock_was_left_alone",
        [put(0, 1, "v1"), replace(put(2, 3, "v2"), began_at=5, ended_at=6)],
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_history_checker_accepts_a_valid_history(name: str) -> None:
    assert broken(GOOD[name]) == []


@pytest.mark.parametrize("name", BAD)
def test_history_checker_names_the_broken_promise(name: str) -> None:
    promise, calls = BAD[name]
    assert {each.partition(":")[0] for each in broken(calls)} == {promise}


def test_history_examples_break_each_promise_once() -> None:
    assert {promise for promise, _ in BAD.values()} == {each.__name__ for each in PROMISES}


def test_history_checker_ignores_the_order_of_the_records() -> None:
    for calls in GOOD.values():
        assert broken(calls[::-1]) == []
    for promise, calls in BAD.values():
        assert promise in {each.partition(":")[0] for each in broken(calls[::-1])}
