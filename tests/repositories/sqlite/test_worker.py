"""A worker: batches, order, errors, callers that go away, and the end."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import aiosqlite
import pytest
import structlog
from support.gated_connection import DOUBLE, INSERT, Connection, settle

from service.concurrency.fair_queue import SERVICE_TURNS
from service.domain.errors import UnavailableError
from service.repositories.sqlite.engine.batch import MAX_BATCH_SIZE
from service.repositories.sqlite.engine.worker import CALLER_LIMIT, ConnectionWorker


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    async with aiosqlite.connect(":memory:", isolation_level=None) as connection:
        await connection.execute_fetchall("CREATE TABLE t (key TEXT UNIQUE)")
        yield Connection(connection)


@pytest.fixture
async def worker(connection: Connection) -> AsyncIterator[ConnectionWorker]:
    worker = ConnectionWorker(connection)  # type: ignore[arg-type] # it has what a worker calls
    yield worker
    connection.gate.set()
    await worker.close()


async def test_worker_batches_waiting_calls_in_one_task(
    worker: ConnectionWorker, connection: Connection
) -> None:
    answers = await asyncio.gather(*(worker.submit(DOUBLE, key, key) for key in ("a", "none", "b")))
    assert answers == [("a", "aa"), None, ("b", "bb")]
    assert [task[:3] for task in connection.tasks] == [["a", "none", "b"]]


async def test_worker_adds_no_call_to_a_task_that_has_started(
    worker: ConnectionWorker, connection: Connection
) -> None:
    connection.gate.clear()
    first = worker.submit(DOUBLE, "a", "a")
    await settle()
    second = worker.submit(DOUBLE, "b", "b")
    await settle()
    assert len(connection.tasks) == 1
    connection.gate.set()
    assert list(await asyncio.gather(first, second)) == [("a", "aa"), ("b", "bb")]
    assert len(connection.tasks) == 2


async def test_worker_limits_the_size_of_a_batch(
    worker: ConnectionWorker, connection: Connection
) -> None:
    keys = [str(number) for number in range(MAX_BATCH_SIZE + 1)]
    await asyncio.gather(*(worker.submit(DOUBLE, key, key) for key in keys))
    assert [len(task) for task in connection.tasks] == [MAX_BATCH_SIZE, 1]


async def test_worker_puts_calls_with_one_key_into_separate_batches(
    worker: ConnectionWorker, connection: Connection
) -> None:
    answers = await asyncio.gather(*(worker.submit(INSERT, "a", "a") for _ in range(3)))
    assert sorted(answers, key=str) == [("a",), None, None]
    assert len(connection.tasks) == 3


async def test_worker_runs_tasks_in_the_order_of_their_calls(
    worker: ConnectionWorker, connection: Connection
) -> None:
    connection.gate.clear()
    calls: list[asyncio.Future[Any]] = [
        worker.fetch_all("SELECT :n", n=0),
        worker.submit(DOUBLE, "a", "a"),
        worker.fetch_all("SELECT :n", n=1),
        worker.submit(DOUBLE, "b", "b"),
    ]
    await settle()
    connection.gate.set()
    assert await asyncio.gather(*calls) == [[(0,)], ("a", "aa"), [(1,)], ("b", "bb")]
    assert connection.tasks == [{"n": 0}, ["a", "b"], {"n": 1}]


async def test_worker_completes_the_call_of_a_caller_that_left(
    worker: ConnectionWorker, connection: Connection
) -> None:
    connection.gate.clear()
    leaving = worker.submit(INSERT, "a", "a")
    staying = worker.submit(INSERT, "b", "b")
    await settle()
    leaving.cancel()
    connection.gate.set()
    assert await staying == ("b",)
    assert await worker.fetch_all("SELECT key FROM t ORDER BY key") == [("a",), ("b",)]


async def test_worker_survives_a_failed_task_whose_caller_left(
    worker: ConnectionWorker, connection: Connection
) -> None:
    connection.gate.clear()
    connection.error = sqlite3.OperationalError("broken")
    leaving = worker.submit(INSERT, "a", "a")
    staying = worker.submit(INSERT, "b", "b")
    await settle()
    leaving.cancel()
    await settle()
    connection.gate.set()
    with pytest.raises(RuntimeError):
        await staying
    connection.error = None
    assert await worker.fetch_all("SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    "code",
    [
        sqlite3.SQLITE_BUSY_SNAPSHOT,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_READONLY_DBMOVED,
    ],
)
async def test_worker_reports_machine_faults_as_unavailable(
    worker: ConnectionWorker, connection: Connection, code: int
) -> None:
    error = sqlite3.OperationalError("broken")
    error.sqlite_errorcode = code
    connection.error = error
    with pytest.raises(UnavailableError):
        await worker.fetch_all("SELECT 1")


async def test_worker_gives_an_error_to_each_caller_of_its_task_only(
    worker: ConnectionWorker, connection: Connection
) -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    connection.error = full
    failures = await asyncio.gather(
        *(worker.submit(INSERT, key, key) for key in "ab"), return_exceptions=True
    )
    assert [type(failure) for failure in failures] == [UnavailableError] * 2
    assert failures[0] is not failures[1]
    connection.error = None
    assert await worker.submit(INSERT, "a", "a") == ("a",)


@pytest.mark.parametrize("sql", ["SELEC 1", "INSERT INTO t VALUES ('x'), ('x')"])
async def test_worker_reports_an_invalid_statement_as_an_internal_error(
    worker: ConnectionWorker, sql: str
) -> None:
    with pytest.raises(RuntimeError) as failure:
        await worker.fetch_all(sql)
    assert isinstance(failure.value.__cause__, sqlite3.Error)
    assert await worker.fetch_all("SELECT 1") == [(1,)]


async def test_worker_completes_its_tasks_at_close_and_rejects_new_calls(
    connection: Connection,
) -> None:
    worker = ConnectionWorker(connection)  # type: ignore[arg-type] # it has what a worker calls
    waiting = [worker.submit(INSERT, key, key) for key in "abc"]
    await asyncio.sleep(0)
    await worker.close()
    assert await asyncio.gather(*waiting) == [("a",), ("b",), ("c",)]
    with pytest.raises(UnavailableError):
        await worker.fetch_all("SELECT 1")


async def test_worker_does_not_run_calls_rejected_while_it_closes(
    connection: Connection,
) -> None:
    worker = ConnectionWorker(connection)  # type: ignore[arg-type] # it has what a worker calls
    connection.gate.clear()
    first = worker.fetch_all("SELECT 1")
    await settle()
    waiting = worker.submit(INSERT, "a", "a")
    closing = asyncio.create_task(worker.close())
    await settle()
    with pytest.raises(UnavailableError):
        worker.submit(INSERT, "b", "b")
    connection.gate.set()
    assert (await first, await waiting) == ([(1,)], ("a",))
    await closing
    assert connection.tasks[-1] == ["a"]


async def test_worker_evaluates_function_parameters_when_the_task_starts(
    worker: ConnectionWorker, connection: Connection
) -> None:
    """However long the queue was: `is_active` in a list is as true as its task is young."""
    moments = iter([1, 2])
    connection.gate.clear()
    first = worker.fetch_all("SELECT :n", n=0)
    await settle()
    second = worker.fetch_all("SELECT :now", now=lambda: next(moments))
    await settle()
    assert next(moments) == 1  # it has not been asked while it waits
    connection.gate.set()
    assert await first == [(0,)]
    assert await second == [(2,)]


async def test_worker_never_runs_calls_that_exceed_the_queue_timeout(
    worker: ConnectionWorker, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.repositories.sqlite.engine.worker.QUEUE_TIMEOUT", 0.01)
    connection.gate.clear()
    first = worker.submit(INSERT, "a", "a")
    await settle()
    late = [worker.submit(INSERT, key, key) for key in "bc"]
    await asyncio.sleep(0.02)
    connection.gate.set()
    assert await first == ("a",)
    assert [type(each) for each in await asyncio.gather(*late, return_exceptions=True)] == [
        UnavailableError,
        UnavailableError,
    ]
    assert await worker.submit(INSERT, "d", "d") == ("d",)
    assert await worker.fetch_all("SELECT key FROM t ORDER BY key") == [("a",), ("d",)]


async def test_worker_logs_a_long_queue_as_no_fault_of_the_database(
    worker: ConnectionWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.repositories.sqlite.engine.worker.QUEUE_TIMEOUT", -1.0)
    with structlog.testing.capture_logs() as lines:
        late = [worker.fetch_all("-- look\nSELECT 1"), worker.fetch_all("SELECT 2")]
        answers = await asyncio.gather(*late, return_exceptions=True)
    assert [type(answer) for answer in answers] == [UnavailableError] * 2
    assert lines == [
        {
            "event": "database queue too long",
            "log_level": "warning",
            "connection": "",
            "statement": "look",
        }
    ]


async def test_worker_runs_the_statements_of_callers_in_turns(
    worker: ConnectionWorker, connection: Connection
) -> None:
    connection.gate.clear()
    calls = [worker.fetch_all("SELECT :n", n=0)]
    await settle()
    calls += [worker.fetch_all("SELECT :n", caller="a", n=n) for n in (1, 2, 3)]
    calls += [worker.fetch_all("SELECT :n", caller="b", n=n) for n in (4, 5)]
    calls += [worker.fetch_all("SELECT :n", n=6)]
    connection.gate.set()
    await asyncio.gather(*calls)
    assert [task["n"] for task in connection.tasks] == [0, 6, 1, 4, 2, 5, 3]


async def test_worker_keeps_no_caller_behind_all_statements_of_the_service(
    worker: ConnectionWorker, connection: Connection
) -> None:
    connection.gate.clear()
    calls = [worker.fetch_all("SELECT :n", n=n) for n in range(SERVICE_TURNS + 2)]
    calls += [worker.fetch_all("SELECT :n", caller="a", n=10 + n) for n in range(2)]
    connection.gate.set()
    await asyncio.gather(*calls)
    assert [task["n"] for task in connection.tasks] == [0, 1, 2, 3, 10, 4, 5, 11]


async def test_worker_bounds_the_statements_of_a_caller_that_wait(
    worker: ConnectionWorker, connection: Connection
) -> None:
    connection.gate.clear()
    calls = [worker.fetch_all("SELECT :n", n=0)]
    await settle()
    calls += [worker.fetch_all("SELECT :n", caller="a", n=n) for n in range(CALLER_LIMIT)]
    with pytest.raises(UnavailableError):
        worker.fetch_all("SELECT :n", caller="a", n=0)
    calls += [worker.fetch_all("SELECT :n", caller="b", n=0), worker.fetch_all("SELECT :n", n=0)]
    connection.gate.set()
    assert len(await asyncio.gather(*calls)) == CALLER_LIMIT + 3


async def test_worker_rejects_all_waiting_calls_after_a_lock_timeout(
    worker: ConnectionWorker, connection: Connection
) -> None:
    """Their tasks never leave: none is made later, and the next call begins anew."""
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
    connection.error = busy
    connection.gate.clear()
    first = worker.submit(INSERT, "a", "a")
    await settle()
    waiting = [
        worker.submit(INSERT, "b", "b"),
        worker.fetch_all("INSERT INTO t VALUES ('c')"),
    ]
    await settle()
    connection.gate.set()
    answers = await asyncio.gather(first, *waiting, return_exceptions=True)
    assert [type(each) for each in answers] == [UnavailableError] * 3
    assert len(connection.tasks) == 1
    connection.error = None
    assert await worker.submit(INSERT, "d", "d") == ("d",)
    assert await worker.fetch_all("SELECT key FROM t") == [("d",)]


async def test_worker_runs_the_next_task_after_one_that_fails(
    worker: ConnectionWorker, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A video that finds no room, and a revocation behind it that needs none."""
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    make = connection.execute_fetchall

    async def fail_first(sql: str, parameters: Any) -> Any:
        await settle()
        if sql == "SELECT 1":
            raise full
        return await make(sql, parameters)

    monkeypatch.setattr(connection, "execute_fetchall", fail_first)
    answers = await asyncio.gather(
        worker.fetch_all("SELECT 1"), worker.fetch_all("SELECT 2"), return_exceptions=True
    )
    assert isinstance(answers[0], UnavailableError)
    assert answers[1] == [(2,)]
