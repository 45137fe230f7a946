"""A short storm of kills; ``make crash`` makes a long one."""

from pathlib import Path

import pytest
from storm import figures, storm, unknown_writes

KILLS = 10


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_service_keeps_its_promises_when_killed_at_any_moment(tmp_path: Path) -> None:
    outcome = await storm(tmp_path, KILLS, seed=1)
    print("\n".join(figures(outcome)))
    assert outcome.broken == []
    assert len(outcome.kills) == KILLS
    assert sum(map(bool, unknown_writes(outcome))) > KILLS / 2, "the kills met no writes in flight"
