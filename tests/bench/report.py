"""What is told of it all: tables, and how the figures stand to their goals."""

import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from figures import Figures
from rounds import Cell, Cells, ratio

BATCH_WINDOW_SECONDS = 0.05  # of a core


@dataclass
class Results:
    """All that has been measured so far."""

    machine: dict[str, str]
    pace: str
    cells: dict[str, dict[int, Cells]] = field(default_factory=dict)
    """By the scenario's or the line-up's name, then by the connections."""
    figures: Figures = field(default_factory=dict)

    def ratio(self, scenario: str, other: str, connections: int = 32) -> float:
        return ratio(self.cells[scenario][connections], "ours", other)

    def save(self, file: Path) -> None:
        goals = [asdict(outcome) for outcome in outcomes(self)]
        file.write_text(json.dumps(asdict(self) | {"goals": goals}, indent=1, ensure_ascii=False))


@dataclass(frozen=True)
class Goal:
    """A figure and its bound."""

    figure: str
    sign: str
    bound: float
    unit: str
    value: Callable[[Results], float]
    """Raises KeyError where that has not been measured."""


@dataclass(frozen=True)
class Outcome:
    """How a figure stands to its goal."""

    figure: str
    value: float | None
    goal: str
    met: bool | None


def _least(figure: str, bound: float, value: Callable[[Results], float]) -> Goal:
    return Goal(figure, "≥", bound, "", value)


def _most(figure: str, bound: float, unit: str, value: Callable[[Results], float]) -> Goal:
    return Goal(figure, "≤", bound, unit, value)


def _lone(results: Results) -> float:
    cells = results.cells["view"][1]
    return cells["ours"].p50 / cells["limit"].p50


def _spread(results: Results) -> float:
    cell = results.cells["view"][32]["ours"]
    return cell.p99 / cell.p50


def _sizes(results: Results, size: str) -> float:
    return ratio(results.cells["sizes"][32], f"ours, {size}", "ours, 10 k")


def _restricted(results: Results, kind: str) -> float:
    cells = results.cells["restricted"][32]
    return ratio(cells, f"{kind}, restricted", f"{kind}, plain")


def _swept(results: Results) -> float:
    figures = results.figures
    return (
        figures["view p99 during sweep, 32 viewers"] / figures["view p99 after sweep, 32 viewers"]
    )


def _stored(scenario: str, other: str, connections: int = 32) -> Callable[[Results], float]:
    """How the service on PostgreSQL stands to another party."""
    return lambda results: ratio(results.cells[scenario][connections], "ours-postgresql", other)


def _stored_lone(results: Results) -> float:
    cells = results.cells["view"][1]
    return cells["ours-postgresql"].p50 / cells["limit"].p50


def _stored_sizes(results: Results, size: str) -> float:
    name = "ours-postgresql"
    return ratio(results.cells["sizes"][32], f"{name}, {size}", f"{name}, 10 k")


def _stored_peak(results: Results) -> float:
    """The most memory of the instance after all scenarios."""
    peaks = [
        cells["ours-postgresql"].peak
        for by_connections in results.cells.values()
        for cells in by_connections.values()
        if "ours-postgresql" in cells
    ]
    if not peaks:
        raise KeyError
    return max(peaks)


def _figure(name: str) -> Callable[[Results], float]:
    return lambda results: results.figures[name]


GOALS = (
    _least("view ÷ limit", 0.90, lambda r: r.ratio("view", "limit")),
    _least("view ÷ limit, the floor", 0.75, lambda r: r.ratio("view", "limit")),
    _least("view ÷ PocketBase", 5, lambda r: r.ratio("view", "pocketbase")),
    _least("view ÷ naive", 2, lambda r: r.ratio("view", "naive")),
    _least("create ÷ limit", 0.60, lambda r: r.ratio("create", "limit")),
    _least("create ÷ limit, 128 connections", 0.75, lambda r: r.ratio("create", "limit", 128)),
    _least("create ÷ PocketBase", 4, lambda r: r.ratio("create", "pocketbase")),
    _least("unknown link ÷ limit", 0.75, lambda r: r.ratio("unknown", "limit")),
    _least("kept page ÷ limit", 0.50, lambda r: r.ratio("page", "limit")),
    _least("kept page of a film ÷ limit", 0.50, lambda r: r.ratio("film", "limit")),
    _least("kept QR code ÷ limit", 0.50, lambda r: r.ratio("qr", "limit")),
    _least("kept CSV ÷ limit", 0.50, lambda r: r.ratio("csv", "limit")),
    _least("kept segments ÷ limit", 0.50, lambda r: r.ratio("segments", "limit")),
    _least("view, restricted ÷ plain", 0.80, lambda r: _restricted(r, "view")),
    _least("page, restricted ÷ plain", 0.80, lambda r: _restricted(r, "page")),
    _most("one client: view p50 ÷ limit p50", 1.5, "", _lone),
    _most("view p99 ÷ p50", 2, "", _spread),
    _least("view, 10 M links ÷ 10 k", 0.85, lambda r: _sizes(r, "10 M")),
    _least("view, 1 M links ÷ 10 k", 0.85, lambda r: _sizes(r, "1 M")),
    _most("1,000,000 links deactivated, idle", 10, "s", _figure("sweep, idle")),
    _most("the same while 32 view", 10, "s", _figure("sweep, 32 viewers")),
    _most("view p99 meanwhile ÷ without", 2, "", _swept),
    _most("longest create meanwhile", 50, "ms", _figure("longest create during sweep, 32 viewers")),
    _most("expiry lag, idle", 1, "s", _figure("expiry lag")),
    _most("peak memory, 10 M links", 96, "MiB", _figure("peak at 10 M")),
    _most("peak memory, 1 M links", 96, "MiB", _figure("peak at 1 M")),
    _most("start to first answer", 0.6, "s", _figure("start")),
    _most("PUT of 100,000 segments, alone", 2, "s", _figure("PUT, alone")),
    _most("the same while 32 view", 2, "s", _figure("PUT, 32 viewers")),
    _most("view p99 meanwhile", 50, "ms", _figure("view p99 during PUT")),
    _least("PostgreSQL: view ÷ limit", 0.70, _stored("view", "limit")),
    _least("PostgreSQL: view ÷ limit, 128", 0.60, _stored("view", "limit", 128)),
    _least("PostgreSQL: view ÷ naive", 2, _stored("view", "naive-postgresql")),
    _most("PostgreSQL: lone view p50 ÷ limit p50", 4, "", _stored_lone),
    _least("PostgreSQL: create ÷ limit", 0.45, _stored("create", "limit")),
    _least("PostgreSQL: create ÷ limit, 128", 0.65, _stored("create", "limit", 128)),
    _least("PostgreSQL: create ÷ naive", 1.6, _stored("create", "naive-postgresql")),
    _least("PostgreSQL: kept page ÷ limit", 0.30, _stored("page", "limit")),
    _least("PostgreSQL: list ÷ limit", 0.10, _stored("list", "limit")),
    _least("PostgreSQL: view, 10 M links ÷ 10 k", 0.85, lambda r: _stored_sizes(r, "10 M")),
    _least("PostgreSQL: view, 1 M links ÷ 10 k", 0.85, lambda r: _stored_sizes(r, "1 M")),
    _most("PostgreSQL: 1,000,000 deactivated", 30, "s", _figure("PostgreSQL: sweep, idle")),
    _most("PostgreSQL: peak memory", 96, "MiB", _stored_peak),
    _most(
        "logs and metrics, of the view",
        10,
        "%",
        lambda r: 100 - 100 * r.ratio("logs", "unobserved"),
    ),
)
"""At 32 connections where nothing else is said."""


def outcomes(results: Results) -> list[Outcome]:
    """How each figure stands to its goal, where it has been measured."""
    told = []
    for goal in GOALS:
        text = f"{goal.sign} {goal.bound:g} {goal.unit}".strip()
        try:
            value = goal.value(results)
        except KeyError:
            told.append(Outcome(goal.figure, None, text, None))
            continue
        met = value >= goal.bound if goal.sign == "≥" else value <= goal.bound
        told.append(Outcome(goal.figure, value, text, met))
    return told


def show_cells(title: str, cells: Cells) -> None:
    """One scenario's table."""
    print(f"\n{title}")
    print(f"  {'':16}     a second  ÷ limit   p50 ms   p99 ms   CPU µs  peak MiB")
    for name, cell in cells.items():
        part = f"{ratio(cells, name, 'limit'):7.2f}" if "limit" in cells else " " * 7
        print(
            f"  {name:16} {cell.per_second:12,.0f}  {part} {cell.p50:8.2f} {cell.p99:8.2f}"
            f" {cell.cpu:8.1f} {cell.peak:9.1f} {'?' * (cell.others > BATCH_WINDOW_SECONDS)}",
            flush=True,
        )


def show_figures(figures: Figures) -> None:
    """Figures by their names, as they come in."""
    for name, value in figures.items():
        print(f"  {name:48} {value:10,.2f}", flush=True)


def show_outcomes(results: Results, *, everything: bool) -> None:
    """The goals' table, with or without what was not measured."""
    doubt = "?" * (_others(results) > BATCH_WINDOW_SECONDS)
    print(f"\n{'figure':38} {'value':>12}   {'goal':10} met")
    for each in outcomes(results):
        if each.value is None and not everything:
            continue
        value = "-" if each.value is None else f"{each.value:,.2f}"
        met = "not measured" if each.met is None else f"yes{doubt}" if each.met else f"NO{doubt}"
        print(f"{each.figure:38} {value:>12}   {each.goal:10} {met}")


def show_doubts(results: Results) -> None:
    """Whether it was the load generator that was measured, or what others did meanwhile."""
    cells = list(_all_cells(results))
    if cells:
        busy = max(cell.busy for cell in cells)
        print(f"\nThe load generator worked for {busy:.0%} of its busiest round.")
        print(f"Others took {_others(results):.0%} of a core.")
        if any(cell.others > BATCH_WINDOW_SECONDS for cell in cells):
            print("What is marked ? was disturbed by them, and says little; CPU µs the most.")


def _others(results: Results) -> float:
    """How much of a core others took, in the mean."""
    return statistics.mean([cell.others for cell in _all_cells(results)] or [0.0])


def _all_cells(results: Results) -> Iterator[Cell]:
    for name, by_connections in results.cells.items():
        if name != "ceiling":
            for cells in by_connections.values():
                yield from cells.values()
