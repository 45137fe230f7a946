"""Counts of links by status: bounded statements, and how old the result may be."""

from typing import Any

import pytest
from support.harness import Service, database_of
from support.links import fill

from service.repositories import link_counts
from service.repositories.sqlite.engine.worker import ConnectionWorker
from service.repositories.sqlite.link_counts import LinkCounter
from service.web.app_keys import CONFIG, NOW


class Clock:
    """A monotonic clock that is turned by hand."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize("step", [1, 2, 3, 7, 8, 10_000])
async def test_link_counts_are_exact_whatever_the_step(
    service: Service, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(link_counts, "_STEP", step)
    await service.alice.put_video()
    fill(service.app[CONFIG].sqlite_file, 5)
    for fields in ({"not_before": "2025-01-15T11:00:00"}, {"expires_at": "2025-01-15T10:00:01"}):
        await service.alice.share(**fields)
    await service.advance(1)
    counts = await LinkCounter(database_of(service.app), service.app[NOW]).count()
    assert (counts.active, counts.scheduled, counts.expired) == (5, 1, 1)


async def test_link_counts_of_many_links_are_reused_for_ten_seconds(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_counts, "_STEP", 4)
    looked: list[int] = []
    fetch = ConnectionWorker.fetch_all

    async def fetched(self: ConnectionWorker, sql: str, **parameters: Any) -> Any:
        rows = await fetch(self, sql, **parameters)
        if sql.startswith("-- count links by status"):
            looked.append(rows[0][-2])
        return rows

    monkeypatch.setattr(ConnectionWorker, "fetch_all", fetched)
    await service.alice.put_video()
    clock = Clock()
    counter = LinkCounter(database_of(service.app), service.app[NOW], clock)
    for count in (1, 2, 3):  # few links are counted each time
        await service.alice.share()
        assert (await counter.count()).active == count
    fill(service.app[CONFIG].sqlite_file, 7)
    assert (await counter.count()).active == 10
    assert looked == [1, 2, 3, 4, 4, 2]
    await service.alice.share()
    clock.seconds = 9.9
    assert (await counter.count()).active == 10
    clock.seconds = 10
    assert (await counter.count()).active == 11
    assert looked == [1, 2, 3, 4, 4, 2, 4, 4, 3]
