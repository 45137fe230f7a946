"""The longest waits that the worst request of each route causes, worst first.

``python tests/stalls/stalls.py 3`` runs each case three times and shows the least of the longest
waits: a wait that the case causes is in each run, one that the machine causes is not.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from measure import Outcome, watched
from worst import CASES, Case, unlisted
from worst_console import CONSOLE_CASES

LINKS = 100_000
COLUMNS = ("loop busy ms", "loop late ms", "view ms", "create ms", "itself ms")


@dataclass(frozen=True)
class Line:
    """A case with its figures, in milliseconds, in the order of COLUMNS."""

    case: Case
    figures: tuple[float, ...]
    note: str

    @property
    def worst(self) -> float:
        """The longest time in which the loop served nobody, without the noise of the machine."""
        return max(self.figures[:2])


def line(case: Case, outcomes: list[Outcome]) -> Line:
    """The least of the longest waits of some runs."""
    figures = tuple(
        1e3 * min(run)
        for run in zip(
            *(
                (each.most["busy"], each.most["late"], each.view, each.create, each.own)
                for each in outcomes
            ),
            strict=True,
        )
    )
    statuses = {status for each in outcomes for status in each.statuses} - {case.status}
    wrong = {status for each in outcomes for status in each.wrong}
    note = f" status {sorted(statuses)}" if statuses else ""
    return Line(case, figures, note + (f" probe {sorted(wrong)}" if wrong else ""))


def table(lines: list[Line]) -> Iterator[str]:
    """The lines of the table, the longest wait of others first."""
    titles = [f"{each.case.route}: {each.case.what}" for each in lines]
    width = max(map(len, titles))
    yield " ".join(["".ljust(width), *(f"{column:>12}" for column in COLUMNS)])
    for each, title in sorted(zip(lines, titles, strict=True), key=lambda pair: -pair[0].worst):
        figures = " ".join(f"{figure:12.1f}" for figure in each.figures)
        yield f"{title.ljust(width)} {figures}{each.note}"


def main() -> None:
    """Run all cases, or those whose route or name contains the second argument."""
    runs = int(sys.argv[1])
    wanted = sys.argv[2] if len(sys.argv) > 2 else ""
    assert not unlisted(), unlisted()
    began = time.monotonic()
    cases = [case for case in (*CASES, *CONSOLE_CASES) if wanted in f"{case.route}: {case.what}"]
    with (
        tempfile.TemporaryDirectory() as folder,
        watched(Path(folder), "time", LINKS) as service,
    ):
        print(f"stored after {time.monotonic() - began:.0f} s", flush=True)
        outcomes: dict[Case, list[Outcome]] = {case: [] for case in cases}
        for _ in range(runs):
            for case in cases:
                outcomes[case].append(service.run(case, "gzip"))
    print("\n".join(table([line(case, found) for case, found in outcomes.items()])))
    print(f"{runs} runs of {len(cases)} cases, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
