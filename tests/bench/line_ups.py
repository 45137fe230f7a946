"""Comparisons of views for which other servers stand side by side than in the scenarios."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import parties
from films import FILM, FINDINGS, create_link, put_film
from load import Stream
from parties import Api
from rounds import Bench, Cells, Contestant, compare
from scenarios import VIEWED, check
from servers import serving
from tables import HERE, MAIN, Size, make_table

SIZES = {"10 k": Size(10_000), "1 M": Size(1_000_000, spares=10_000), "10 M": Size(10_000_000)}
CONNECTIONS = 32


def by_size(bench: Bench) -> Cells:
    """Tables of different sizes, as each party reads them."""
    sizes = ["10 k", "1 M"] if bench.quick else list(SIZES)
    peers = [name for name in parties.NAMES if name not in {"limit", "naive-postgresql"}]
    return _compare(bench, {f"{name}, {size}": (name, size) for name in peers for size in sizes})


def unobserved(bench: Bench) -> Cells:
    """The service with and without its logs and metrics."""
    return _compare(bench, {name: (name, "10 k") for name in ("ours", "unobserved")}, writes=True)


def _compare(bench: Bench, wanted: dict[str, tuple[str, str]], *, writes: bool = False) -> Cells:
    """Those of ``wanted``, each a party and the size of its table."""
    with ExitStack() as stack:
        contestants = {}
        for title, (name, size) in wanted.items():
            hashes = make_table(SIZES[size]).hashes(VIEWED)
            party = stack.enter_context(
                parties.serve(name, SIZES[size], bench.folder, writes=writes)
            )
            contestants[title] = Contestant(party.server, partial(_views, bench, party.api, hashes))
        return compare(bench, contestants, CONNECTIONS)


def film(bench: Bench) -> Cells:
    """The page of a two-hour film, beside the limit with as many bytes."""
    with parties.serve("ours", SIZES["10 k"], _folder(bench, "film")) as ours:
        key = make_table(SIZES["10 k"]).key
        put_film(ours.server, key)
        hashes = [create_link(ours.server, key, FILM)]
        sizes = check([ours.api.renderings("page", hashes)], ours)
        with parties.serve_limit(sizes, key, bench.folder) as limit:
            contestants = {
                name: Contestant(party.server, partial(_pages, party.api, hashes))
                for name, party in (("limit", limit), ("ours", ours))
            }
            return compare(bench, contestants, CONNECTIONS)


def restricted(bench: Bench) -> Cells:
    """Views and pages of links with an allow-list of modules, beside links without one."""
    with parties.serve("ours", SIZES["10 k"], _folder(bench, "restricted")) as ours:
        key = make_table(SIZES["10 k"]).key
        plain = [create_link(ours.server, key, MAIN) for _ in range(100)]
        some = [create_link(ours.server, key, MAIN, modules=["scenes"]) for _ in range(100)]
        contestants = {
            f"{kind}, {name}": Contestant(ours.server, partial(streams, hashes))
            for kind, streams in (
                ("view", partial(_views, bench, ours.api)),
                ("page", partial(_pages, ours.api)),
            )
            for name, hashes in (("plain", plain), ("restricted", some))
        }
        return compare(bench, contestants, CONNECTIONS)


def ceiling(bench: Bench) -> Cells:
    """The most that the load generator can measure."""
    command = [sys.executable, str(HERE / "ceiling.py"), "{port}"]
    with serving(command, bench.folder / "ceiling.log", {}) as server:
        contestant = Contestant(server, partial(_views, bench, Api("", None), ["any"]))
        return compare(bench, {"ceiling": contestant}, CONNECTIONS)


def _folder(bench: Bench, name: str) -> Path:
    """A folder of its own: another line-up may serve a copy of the same table."""
    folder = bench.folder / name
    folder.mkdir()
    return folder


def _views(bench: Bench, api: Api, hashes: list[str]) -> list[Stream]:
    return [api.views(bench.some(hashes))]


def _pages(api: Api, hashes: list[str]) -> list[Stream]:
    return [api.renderings("page", hashes)]


LINE_UPS: dict[str, tuple[str, Callable[[Bench], Cells]]] = {
    "sizes": ("View, by the size of the table", by_size),
    "logs": ("View, with and without logs and metrics", unobserved),
    "film": (f"Page of a film of {FINDINGS:,} findings", film),
    "restricted": ("Views and pages of links restricted to some modules", restricted),
    "ceiling": ("The load generator's ceiling", ceiling),
}
