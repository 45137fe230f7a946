"""How fast the service is: beside what aiohttp itself allows, and beside others.

Each server has one core, the load generator the other; rounds are interleaved, and medians are
printed. The service is as it is shipped, but for its limits on guesses and creates: all the load
has one address and one key. Any answer that is not the expected one fails the run. All of it goes
to .bench/result.json, and .bench/bench.svg plots the views and the creates. The tables that it
needs are made by the first run: with ten million links that takes some minutes and 4 GB.

    make bench                                 all of it, in some 30 minutes
    make bench QUICK=1                         shorter, with a million links at most
    make bench ONLY=view,create,sweep          some of it
    make bench ONLY=view PARTIES=limit,ours    with some of the parties
    make bench ONLY=view PARTIES=ours,/tmp/b   against the checkout in /tmp/b
    make bench ONLY=view CONNECTIONS=32 ROUNDS=9 SECONDS=2
    make bench ONLY=where                      where a request's microseconds go, by perf
    make bench PLOT=1                          and puts the plots into docs/
"""

import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import machine
import parties
import plot
import report
import where
from figures import FIGURES, SLOW
from line_ups import CONNECTIONS, LINE_UPS
from report import Results
from rounds import Bench, loading
from scenarios import SCENARIOS, play, run_parties
from servers import LOAD_CORE
from tables import CACHE, ROOT
from where import WHERE


def main() -> None:
    """Measure, print and write down."""
    os.sched_setaffinity(0, {LOAD_CORE})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # the servers must go as well
    quick = os.environ.get("QUICK") == "1"
    everything = [*SCENARIOS, *LINE_UPS, *FIGURES, WHERE]
    only = _names("ONLY", [name for name in everything if not (quick and name in {*SLOW, WHERE})])
    if unknown := set(only) - set(everything):
        sys.exit(f"no {', '.join(unknown)}; there are {', '.join(everything)}")
    began = time.monotonic()
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="run-") as folder, loading() as load:
        bench = Bench(
            load,
            Path(folder),
            rounds=int(os.environ.get("ROUNDS", "3" if quick else "5")),
            seconds=float(os.environ.get("SECONDS", "0.1" if quick else "1.25")),
            quick=quick,
        )
        results = Results(
            machine.facts(bench.folder), f"{bench.rounds} rounds of {bench.seconds:g} s"
        )
        for name, fact in results.machine.items():
            print(f"  {name:12} {fact}")
        _play([name for name in SCENARIOS if name in only], bench, results)
        for name in LINE_UPS:
            if name in only:
                title, compare = LINE_UPS[name]
                cells = compare(bench)
                results.cells[name] = {CONNECTIONS: cells}
                report.show_cells(f"{title}, {CONNECTIONS} connections", cells)
        for name, measure in FIGURES.items():
            if name in only:
                print(f"\n{name}")
                figures = measure(bench)
                results.figures |= figures
                report.show_figures(figures)
        if WHERE in only:
            _show_where(bench)
    report.show_outcomes(results, everything="ONLY" not in os.environ)
    report.show_doubts(results)
    print(f"It took {time.monotonic() - began:.0f} s.")
    results.save(CACHE / "result.json")
    if all(plot.CONNECTIONS in results.cells.get(name, {}) for name in plot.PLOTS):
        _keep_plot("bench.svg", plot.draw(results))


def _play(names: list[str], bench: Bench, results: Results) -> None:
    """Play the scenarios of these names, with the parties that are asked for."""
    players = _names("PARTIES", list(parties.NAMES))
    if not names:
        return
    with run_parties(players, bench) as running:
        for name in names:
            scenario = SCENARIOS[name]
            connections = _names("CONNECTIONS", list(map(str, scenario.connections)))
            results.cells[name] = {}
            for count, cells in play(scenario, players, running, map(int, connections), bench):
                results.cells[name][count] = cells
                report.show_cells(f"{scenario.title}, {count} connections", cells)


def _show_where(bench: Bench) -> None:
    print(f"\n{WHERE}")
    if found := where.where(bench):
        for name, parts in found.items():
            report.show_figures({f"{name}, {part}, µs": value for part, value in parts.items()})
        _keep_plot("where.svg", where.draw(found))


def _keep_plot(name: str, drawing: str) -> None:
    (CACHE / name).write_text(drawing)
    if os.environ.get("PLOT") == "1":
        shutil.copy(CACHE / name, ROOT / "docs" / name)


def _names(variable: str, default: list[str]) -> list[str]:
    given = os.environ.get(variable)
    return given.split(",") if given else default


if __name__ == "__main__":
    main()
