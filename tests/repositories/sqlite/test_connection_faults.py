"""Faults of a connection to the database, or of its thread: it is opened again."""

import resource
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.faults import BODY
from support.harness import Response, Service, database_of, is_problem

from service.config import Config
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.engine.worker import ConnectionWorker


async def close_reader(database: Database) -> None:
    database.reader._connection.close()


async def close_connection(worker: ConnectionWorker) -> None:
    assert worker.connection is not None
    await worker.connection._execute(worker.connection._conn.close)  # type: ignore[no-untyped-call] # aiosqlite's


async def end_thread(worker: ConnectionWorker) -> None:
    assert worker.connection is not None
    ended = worker.connection.stop()
    assert ended is not None
    await ended


@pytest.mark.parametrize(
    "end",
    [
        close_reader,
        lambda database: close_connection(database.writer),
        lambda database: end_thread(database.writer),
        lambda database: close_connection(database.read_worker),
        lambda database: end_thread(database.read_worker),
    ],
    ids=["reader", "writer", "writer's thread", "read_worker", "read_worker's thread"],
)
async def test_connection_that_fails_is_opened_again(
    service: Service, end: Callable[[Database], Awaitable[None]]
) -> None:
    """Of each kind of call at most one notices."""
    await service.alice.put_video()
    link = await service.alice.share()
    running = threading.active_count()
    await end(database_of(service.app))
    calls: list[Callable[[], Awaitable[Response]]] = [
        lambda: service.public.get(f"/api/shared-reports/{link['share_hash']}"),
        lambda: service.alice.get("/api/videos"),
        lambda: service.alice.post("/api/shared-reports", BODY),
    ]
    first = [await call() for call in calls]
    refused = [each for each in first if each.status == 503]
    assert len(refused) == 1
    assert is_problem(refused[0], 503, "unavailable")
    assert refused[0].headers["Retry-After"] == "1"
    assert [(await call()).status for call in calls] == [200, 200, 201]
    assert (await service.public.get("/readyz")).status == 200
    assert threading.active_count() <= running


async def test_connection_that_cannot_reopen_is_retried_by_each_call(
    service: Service,
) -> None:
    await service.alice.put_video()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    await close_connection(database_of(service.app).writer)
    await close_connection(database_of(service.app).read_worker)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        for _ in range(3):
            assert (await service.alice.get("/api/videos")).status == 503
            assert (await service.alice.post("/api/shared-reports", BODY)).status == 503
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert (await service.alice.get("/api/videos")).status == 200
    await service.alice.share()


async def test_write_is_not_acknowledged_if_the_file_moves_during_it(
    service: Service, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.alice.put_video()
    connection = database_of(service.app).writer.connection
    assert connection is not None
    make, away = connection.execute_fetchall, config.sqlite_file.with_name("away")

    async def make_and_move(*args: Any) -> Any:
        config.sqlite_file.rename(away)
        return await make(*args)

    monkeypatch.setattr(connection, "execute_fetchall", make_and_move)
    answer = await service.alice.post("/api/shared-reports", BODY)
    assert is_problem(answer, 503, "unavailable")
    monkeypatch.undo()
    away.rename(config.sqlite_file)
    await service.alice.share()
