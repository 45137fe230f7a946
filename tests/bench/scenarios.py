"""What all parties are asked, and how they are set side by side."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus

import parties
from load import Stream
from parties import Api, Party
from rounds import Bench, Cells, Contestant, ask, compare
from tables import LISTED_LINKS, Size, make_table

MANY = Size(10_000, spares=60_000)
"""What the scenarios are played on. The spares are to be revoked."""
VIEWED = 50_000
"""From how many links those are chosen that are viewed, where there are so many."""

_REVOKED = {1: 500}  # links a round, by its connections
_REVOKED_MANY = 2_000
_REVOKED_BESIDE = 400  # one in a hundred of what a round can be expected to ask
_VIDEO = b"street-meadow-car"
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Scenario:
    """One kind of work, or a mix."""

    title: str
    streams: Callable[[Api, list[str], int], list[Stream]]
    """Made of whom is asked, the links to view, and how many may be revoked."""
    connections: tuple[int, ...] = (1, 32, 256)
    ours_alone: bool = False
    """Whether only the service and the limit have these routes."""


def _mix(api: Api, hashes: list[str], _: int) -> list[Stream]:
    return [
        replace(api.views(hashes), weight=95),
        replace(api.creates(), weight=4),
        replace(api.revokes(_REVOKED_BESIDE), weight=1),
    ]


def _rendering(title: str, kind: str) -> Scenario:
    """One link, as it is posted in a chat: all but the first are answered with a kept rendering."""
    return Scenario(
        f"{title}, one link",
        lambda api, hashes, _: [api.renderings(kind, hashes[:1])],
        (32,),
        ours_alone=True,
    )


SCENARIOS = {
    # At 128 as well: the more calls there are at once, the more share a query or a sync.
    "view": Scenario(
        "View, any of 10,000 links", lambda api, hashes, _: [api.views(hashes)], (1, 32, 128, 256)
    ),
    "hot": Scenario("View, one link", lambda api, hashes, _: [api.views(hashes[:1])]),
    "unknown": Scenario(
        "View, no such link", lambda api, hashes, _: [api.views([h[::-1] for h in hashes], 404)]
    ),
    "create": Scenario("Create", lambda api, _, __: [api.creates()], (1, 32, 128, 256)),
    # Not at 256: all are one user's, of whom 50 may wait.
    "list": Scenario("List a video's 100 links", lambda api, _, __: [api.lists()], (1, 32)),
    "revoke": Scenario("Revoke", lambda api, _, revoked: [api.revokes(revoked)]),
    "mix": Scenario("95 % views, 4 % creates, 1 % revokes", _mix),
    "page": _rendering("Page", "page"),
    "qr": _rendering("QR code", "qr"),
    "csv": _rendering("CSV", "csv"),
    "segments": _rendering("Segments", "segments"),
}


@contextmanager
def run_parties(names: Iterable[str], bench: Bench) -> Iterator[dict[str, Party]]:
    """All who are to play, by their names. Ours runs at any rate, and the limit comes later."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(parties.serve(name, MANY, bench.folder))
            for name in dict.fromkeys(["ours", *names])
            if name != "limit"
        }


def play(
    scenario: Scenario,
    names: Iterable[str],
    running: dict[str, Party],
    connections: Iterable[int],
    bench: Bench,
) -> Iterator[tuple[int, Cells]]:
    """Play a scenario with those of these names; yields what has come of it by the connections."""
    table = make_table(MANY)
    hashes = table.hashes(VIEWED)
    if scenario.ours_alone:
        names = [name for name in names if name not in parties.PEERS]
        running = {name: party for name, party in running.items() if name not in parties.PEERS}

    def streams(api: Api, revoked: int) -> list[Stream]:
        return scenario.streams(api, bench.some(hashes), revoked)

    sizes = {
        name: check(scenario.streams(party.api, hashes, 1), party)
        for name, party in running.items()
    }
    with parties.serve_limit(sizes["ours"], table.key, bench.folder) as limit:
        players = {"limit": limit} | running
        for count in connections:
            revoked = _REVOKED.get(count, _REVOKED_MANY)
            contestants = {
                name: Contestant(players[name].server, partial(streams, players[name].api, revoked))
                for name in names
            }
            yield count, compare(bench, contestants, count)


def check(streams: list[Stream], party: Party) -> list[tuple[str, int, int]]:
    """Ask for one of each: their kinds, statuses and sizes. A wrong answer ends the bench."""
    sizes = []
    for stream in streams:
        body = ask(party.server, stream)
        right = {
            "view": stream.status == HTTPStatus.NOT_FOUND or _VIDEO in body,
            "create": b'"expires_at"' in body,
            "list": body.count(b'"expires_at"') == LISTED_LINKS,
            "revoke": True,
            "page": body[:2] == _GZIP,
            "qr": b"<svg" in body,
            "csv": body.startswith(b'"id","module"'),
            "segments": b'"module"' in body,
        }
        if not right[stream.kind]:
            sys.exit(f"{stream.kind}: not the answer that was asked for: {body!r}")
        sizes.append((stream.kind, stream.status, len(body)))
    return sizes
