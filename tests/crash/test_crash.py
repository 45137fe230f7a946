"""A short storm of kills; ``make crash`` makes a long one."""

from pathlib import Path

import pytest
from storm import figures, storm, unknown_writes

KILLS = {"sqlite": 10, "postgresql": 6}


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_service_keeps_its_promises_when_killed_at_any_moment(
    tmp_path: Path, engine: str
) -> None:
    kills = KILLS[engine]
    outcome = await storm(tmp_path, kills, seed=1, engine=engine)
    print("\n".join(figures(outcome)))
    assert outcome.broken == []
    assert len(outcome.kills) == kills
    assert sum(map(bool, unknown_writes(outcome))) > kills / 2, "the kills met no writes in flight"
