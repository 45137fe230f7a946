"""The workers of a service's database, whatever its engine: held, waited for, interrupted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from aiohttp.web import Application

from service.repositories.postgresql.engine.worker import Worker
from service.repositories.postgresql.repositories import PostgresqlRepositories
from service.repositories.sqlite.engine.worker import ConnectionWorker
from service.repositories.sqlite.repositories import SqliteRepositories
from service.web.app_keys import REPOSITORIES

AnyWorker = ConnectionWorker | Worker


def writer_of(app: Application) -> AnyWorker:
    """The worker that makes an application's writes."""
    repositories = app[REPOSITORIES]
    assert isinstance(repositories, SqliteRepositories | PostgresqlRepositories)
    return repositories.database.writer


def list_worker_of(app: Application) -> AnyWorker:
    """The worker that reads an application's lists."""
    repositories = app[REPOSITORIES]
    if isinstance(repositories, SqliteRepositories):
        return repositories.database.read_worker
    assert isinstance(repositories, PostgresqlRepositories)
    return repositories.database.long


@asynccontextmanager
async def held(worker: AnyWorker) -> AsyncIterator[None]:
    """Let the running statement end, and start none while the context lasts.

    A worker of PostgreSQL must have one connection.
    """
    if isinstance(worker, ConnectionWorker):
        async with worker.paused():
            yield
        return
    has_begun, go_on = asyncio.Event(), asyncio.Event()

    async def hold(_: object) -> None:
        has_begun.set()
        await go_on.wait()

    holding = worker.run("hold", hold, repeats=False)
    await has_begun.wait()
    try:
        yield
    finally:
        go_on.set()
        await holding


async def finish(worker: AnyWorker) -> None:
    """Wait until all statements that wait or run are done."""
    async with held(worker):
        pass


async def wait_for_queue(worker: AnyWorker, length: int) -> None:
    """Wait until so many statements wait for a worker."""
    while worker.waiting < length:
        await asyncio.sleep(0)


def during(
    app: Application,
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
    act: Callable[[], Awaitable[object]],
) -> None:
    """Do something while the write of this name runs, its parameters made already."""
    writer = writer_of(app)
    if isinstance(writer, ConnectionWorker):
        owners: list[tuple[Any, str]] = [(writer.connection, "execute_fetchall")]
    else:
        owners = [(asyncpg.Connection, "fetch"), (asyncpg.Connection, "execute")]
    for owner, method in owners:
        monkeypatch.setattr(owner, method, _acting(getattr(owner, method), statement, act))


def _acting(
    run: Callable[..., Awaitable[Any]], statement: str, act: Callable[[], Awaitable[object]]
) -> Callable[..., Awaitable[Any]]:
    async def acting(*arguments: Any, **options: Any) -> Any:
        texts = [argument for argument in arguments[:2] if isinstance(argument, str)]
        if texts and texts[0].startswith(f"-- {statement}"):
            await act()
        return await run(*arguments, **options)

    return acting
