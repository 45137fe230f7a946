"""The worst legal request of each route keeps nobody waiting; ``make stalls`` measures how long."""

from pathlib import Path

import pytest
from measure import Outcome, watched
from worst import CASES, Case, unlisted
from worst_console import CONSOLE_CASES, unknown

LINKS = 2_000
CALLS_MAX = 50_000
"""Calls of functions in one callback of the event loop; 34,000, of `/metrics`, take 4 ms."""
ROWS_MAX = 1_001
"""Rows that one statement returns: a user's keys are the longest list without pages."""
CHANGED_MAX = 3_200
"""Rows that one statement changes: the longest batch of the sweeper."""
LOOKED_MAX = 4 * 2**20
"""Bytes that one look-up on the event loop returns."""


def test_worst_cases_cover_every_route() -> None:
    assert unlisted() == set()
    assert unknown() == set()


def broken(case: Case, outcome: Outcome) -> list[str]:
    """What a case has broken, in words."""
    limits = {
        "calls": CALLS_MAX,
        "rows": ROWS_MAX,
        "changed": CHANGED_MAX,
        "looked": LOOKED_MAX,
        "written": case.written,
    }
    faults = [
        f"{figure} {outcome.most[figure]:,.0f} > {limit:,} {outcome.where[figure]}"
        for figure, limit in limits.items()
        if outcome.most.get(figure, 0) > limit
    ]
    if set(outcome.statuses) != {case.status}:
        faults.append(f"status {outcome.statuses}")
    if outcome.wrong:
        faults.append(f"a view or a create got {outcome.wrong}")
    if outcome.pools != sorted(case.pools):
        faults.append(f"pools {outcome.pools}")
    return [f"{case.route}, {case.what}: {fault}" for fault in faults]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_worst_request_on_each_route_holds_up_nobody(tmp_path: Path) -> None:
    faults: list[str] = []
    with watched(tmp_path, "count", LINKS) as service:
        for case in (*CASES, *CONSOLE_CASES):
            outcome = service.run(case, "identity")
            print(f"{case.route}, {case.what}: {outcome}")  # the times among it
            faults += broken(case, outcome)
    assert not faults, "\n".join(faults)
