"""When the background task's next pass is due, and what asks for one earlier."""

from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import cast

import pytest
from support.harness import FakeClock

from service.config import Config
from service.repositories.base import LinkRepository, Repositories
from service.tasks.sweeper import Sweeper, sweep_all

INTERVAL = 60.0


class Links:
    """Links of which only the soonest expiry is known."""

    sweep_seconds = 0.02

    def __init__(self) -> None:
        self.soonest: str | None = None
        self.expired = 0
        self.revoked = 0
        """Rows of links that were revoked in bulk."""
        self.on_look: Callable[[], None] = lambda: None

    async def next_expiry(self) -> str | None:
        soonest = self.soonest
        self.on_look()
        return soonest

    async def deactivate_expired(self, _limit: int) -> int:
        swept, self.expired, self.soonest = self.expired, 0, None
        return swept

    async def delete_old_keys(self, _limit: int) -> int:
        return 0

    async def delete_revoked(self, limit: int) -> int:
        deleted = min(limit, self.revoked)
        self.revoked -= deleted
        return deleted


class LongDead:
    """Links or events that are to be purged, of which only the number is known."""

    def __init__(self) -> None:
        self.left = 0

    async def purge(self, _days: int, limit: int) -> int:
        purged = min(limit, self.left)
        self.left -= purged
        return purged


class Statistics:
    """Statistics, of which there are none."""

    async def purge(self, _oldest: int, _limit: int) -> int:
        return 0


@pytest.fixture
def links() -> Links:
    return Links()


@pytest.fixture
def long_dead() -> LongDead:
    return LongDead()


@pytest.fixture
def old_events() -> LongDead:
    return LongDead()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def announce(_topic: str) -> None:
    """Tell no other instance: there is none."""


@pytest.fixture
def sweeper(links: Links, long_dead: LongDead, old_events: LongDead, clock: FakeClock) -> Sweeper:
    repositories = SimpleNamespace(
        links=links,
        retention=long_dead,
        events=old_events,
        statistics=Statistics(),
        webhook_queue=LongDead(),
        announce=announce,
        on_announced=lambda *_: None,
    )
    config = Config(sweep_interval=INTERVAL, retention_days=1)
    return Sweeper(cast("Repositories", repositories), clock, config)


@pytest.mark.parametrize(
    ("soonest", "delay"),
    [
        (None, INTERVAL),
        ("2025-01-15T10:00:07", 7),
        ("2025-01-15T10:01:00", INTERVAL),
        ("2025-01-15T11:00:00", INTERVAL),
        ("9999-12-31T23:59:59", INTERVAL),
    ],
)
async def test_sweeper_sleeps_until_the_next_expiry_or_for_the_interval(
    sweeper: Sweeper, links: Links, soonest: str | None, delay: float
) -> None:
    links.soonest = soonest
    assert await sweeper.sweep_once() == delay


async def test_sweeper_does_not_spin_if_its_timer_fires_early(
    sweeper: Sweeper, links: Links, clock: FakeClock
) -> None:
    links.soonest = "2025-01-15T10:00:01"
    clock.advance(0.9999)
    assert await sweeper.sweep_once() > 0.01


async def test_sweeper_counts_deactivated_links(sweeper: Sweeper, links: Links) -> None:
    for expired in (3, 0, 2):
        links.soonest, links.expired = "2025-01-15T09:00:00", expired
        await sweeper.sweep_once()
    assert sweeper.deactivated == 5


@pytest.mark.parametrize(
    ("expected", "is_woken"),
    [
        ("2025-01-15T10:00:29", True),
        ("2025-01-15T10:00:30", False),
        ("2025-01-15T10:00:31", False),
        (None, False),
    ],
)
async def test_sweeper_wakes_for_an_earlier_expiry_only(
    sweeper: Sweeper, links: Links, expected: str | None, *, is_woken: bool
) -> None:
    links.soonest = "2025-01-15T10:00:30"
    await sweeper.sweep_once()
    sweeper.schedule(expected)
    assert sweeper.task._wake.is_set() == is_woken


async def test_sweeper_wakes_for_the_first_expiry(sweeper: Sweeper) -> None:
    await sweeper.sweep_once()
    sweeper.schedule("2025-01-15T11:00:00")
    assert sweeper.task._wake.is_set()


async def test_sweeper_wakes_again_for_an_expiry_scheduled_during_a_pass(
    sweeper: Sweeper, links: Links, clock: FakeClock
) -> None:
    """The pass may have looked before the link was written, and would sleep for too long."""
    links.soonest = "2025-01-15T10:00:30"
    await sweeper.sweep_once()
    clock.advance(30)
    links.soonest = None
    links.on_look = lambda: sweeper.schedule("2025-01-15T10:00:40")
    assert await sweeper.sweep_once() == INTERVAL
    assert sweeper.task._wake.is_set()


async def test_sweeper_purges_many_links_in_several_short_passes(
    sweeper: Sweeper, long_dead: LongDead
) -> None:
    """So that links which expire meanwhile need not wait for all of it."""
    long_dead.left = 30_000
    passes = 0
    while await sweeper.sweep_once() < 1:
        passes += 1
        assert sweeper.purged == 30_000 - long_dead.left
        assert passes * 10_000 <= sweeper.purged < passes * 12_000
    assert passes in {2, 3}
    assert sweeper.purged == 30_000


async def test_sweeper_deletes_revoked_rows_in_several_passes(
    sweeper: Sweeper, links: Links
) -> None:
    """So that links which expire meanwhile need not wait for all of them."""
    links.revoked = 30_000
    left = []
    while await sweeper.sweep_once() < 1:
        left.append(links.revoked)
    assert [before - after >= 10_000 for before, after in pairwise([30_000, *left])] == [
        True
    ] * len(left)
    assert (links.revoked, len(left)) in {(0, 2), (0, 3)}


@pytest.mark.parametrize(("seconds", "sizes"), [(0.02, [100, 100, 100]), (0.1, [100, 200, 400])])
async def test_batches_grow_while_they_take_less_than_the_engine_lets_them(
    monkeypatch: pytest.MonkeyPatch, seconds: float, sizes: list[int]
) -> None:
    """Each takes 30 ms, whatever its size."""
    passed = 0.0
    limits: list[int] = []
    monkeypatch.setattr("service.tasks.sweeper.time.perf_counter", lambda: passed)
    monkeypatch.setattr("service.tasks.sweeper._cpu_seconds", lambda: 0.0)

    async def deactivate_expired(limit: int) -> int:
        nonlocal passed
        passed += 0.03
        limits.append(limit)
        return limit if len(limits) < len(sizes) else 0

    links = SimpleNamespace(deactivate_expired=deactivate_expired, sweep_seconds=seconds)
    await sweep_all(cast("LinkRepository", links))
    assert limits == sizes
