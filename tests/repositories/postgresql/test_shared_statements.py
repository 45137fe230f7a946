"""A worker of PostgreSQL: batches, turns, repetitions, callers that go away, and the end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import asyncpg
import pytest
from support.database import DatabaseSetting

from service.domain.errors import UnavailableError
from service.domain.postgresql_url import PostgresqlUrl
from service.repositories.postgresql.engine import session as sessions
from service.repositories.postgresql.engine import worker as workers
from service.repositories.postgresql.engine.connector import Connector
from service.repositories.postgresql.engine.errors import AnswerLostError, ErrorMonitor
from service.repositories.postgresql.engine.session import Session
from service.repositories.postgresql.engine.statements import (
    MAX_BATCH_SIZE,
    Batch,
    Statement,
    read,
    write,
)
from service.repositories.postgresql.engine.worker import CALLER_LIMIT, Worker

pytestmark = pytest.mark.engine("postgresql")


class Connection:
    """A real connection that remembers what is sent; it can be held, and made to fail."""

    def __init__(self, connection: asyncpg.Connection, gate: asyncio.Event) -> None:
        self.connection = connection
        self.gate = gate
        self.sent: list[tuple[object, ...]] = []
        self.errors: list[Exception] = []
        """Raised by the next statements, one each, in place of their results."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    async def fetch(self, sql: str, *parameters: object) -> list[asyncpg.Record]:
        self.sent.append(parameters)
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        rows: list[asyncpg.Record] = await self.connection.fetch(sql, *parameters)
        return rows


class Server:
    """Opens connections to the database, which share their gate."""

    def __init__(self, connector: Connector) -> None:
        self.connector = connector
        self.gate = asyncio.Event()
        self.gate.set()
        self.opened: list[Connection] = []

    async def connect(self, purpose: str) -> Connection:
        self.opened.append(Connection(await self.connector.connect(purpose), self.gate))
        return self.opened[-1]

    @property
    def sent(self) -> list[tuple[object, ...]]:
        """The parameters of all statements, in order."""
        return [parameters for connection in self.opened for parameters in connection.sent]


@pytest.fixture
def server(database: DatabaseSetting) -> Server:
    assert isinstance(database, PostgresqlUrl)
    return Server(Connector(database, 3.0, 10.0, 100))


@pytest.fixture
async def worker(server: Server) -> AsyncIterator[Worker]:
    errors = ErrorMonitor()
    session = Session(server, "test", errors)  # type: ignore[arg-type]  # stands for a Connector
    await session.connect()
    worker = Worker("test", [session], errors)
    yield worker
    server.gate.set()
    await worker.close()


DOUBLING = read(
    "-- double\nSELECT key, key || key FROM unnest(:keys::text[]) AS key WHERE key <> 'none'"
)


def keys(items: Sequence[str]) -> dict[str, list[str]]:
    return {"keys": list(items)}


DOUBLE = Batch(DOUBLING, keys)
MERGED = Batch(DOUBLING, keys, merges=True)
ONE = read("-- one\nSELECT :n::integer")
ONE_WRITE = write("-- one\nSELECT :n::integer")


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_postgresql_batch_shares_a_statement(worker: Worker, server: Server) -> None:
    answers = await asyncio.gather(*(worker.submit(DOUBLE, key, key) for key in ("a", "none", "b")))
    assert [answer and tuple(answer) for answer in answers] == [("a", "aa"), None, ("b", "bb")]
    assert server.sent == [(["a", "none", "b"],)]


async def test_postgresql_batch_takes_no_call_after_it_was_sent(
    worker: Worker, server: Server
) -> None:
    """What is read is not older than the call that reads it."""
    server.gate.clear()
    first = worker.submit(MERGED, "a", "a")
    while not server.sent:
        await asyncio.sleep(0)
    second = worker.submit(MERGED, "a", "a")
    await settle()
    assert len(server.sent) == 1
    server.gate.set()
    await asyncio.gather(first, second)
    assert server.sent == [(["a"],), (["a"],)]


@pytest.mark.parametrize(("batch", "statements"), [(DOUBLE, 3), (MERGED, 1)])
async def test_postgresql_batch_merges_equal_keys_of_reads_only(
    worker: Worker, server: Server, batch: Batch[str], statements: int
) -> None:
    answers = await asyncio.gather(*(worker.submit(batch, "a", "a") for _ in range(3)))
    assert [answer and tuple(answer) for answer in answers] == [("a", "aa")] * 3
    assert len(server.sent) == statements


async def test_postgresql_batch_is_bounded(worker: Worker, server: Server) -> None:
    calls = [worker.submit(DOUBLE, str(n), str(n)) for n in range(MAX_BATCH_SIZE + 1)]
    await asyncio.gather(*calls)
    assert [len(sent[0]) for sent in server.sent] == [MAX_BATCH_SIZE, 1]  # type: ignore[arg-type] # arguments are arrays


async def test_postgresql_batch_that_fails_fails_each_caller_by_itself(
    worker: Worker, server: Server
) -> None:
    server.opened[0].errors = [asyncpg.DataError("x")]
    calls = [worker.submit(DOUBLE, key, key) for key in "ab"]
    first, second = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(first, RuntimeError)
    assert isinstance(second, RuntimeError)
    assert first is not second
    assert len(await asyncio.gather(worker.fetch_all(ONE, n=1))) == 1


async def test_postgresql_worker_completes_the_call_of_a_caller_that_left(
    worker: Worker, server: Server
) -> None:
    server.gate.clear()
    leaving, staying = worker.submit(DOUBLE, "a", "a"), worker.submit(DOUBLE, "b", "b")
    await settle()
    leaving.cancel()
    server.gate.set()
    row = await staying
    assert row is not None
    assert tuple(row) == ("b", "bb")
    assert server.sent == [(["a", "b"],)]


async def test_postgresql_worker_lets_callers_take_turns(worker: Worker, server: Server) -> None:
    server.gate.clear()
    running = worker.fetch_all(ONE, n=0)
    await settle()
    many = [worker.fetch_all(ONE, caller="many", n=1) for _ in range(CALLER_LIMIT)]
    with pytest.raises(UnavailableError):
        worker.fetch_all(ONE, caller="many", n=1)
    few = worker.fetch_all(ONE, caller="few", n=2)
    ours = worker.fetch_all(ONE, n=3)
    server.gate.set()
    await asyncio.gather(running, *many, few, ours)
    order = [parameters[0] for parameters in server.sent]
    assert order.index(3) == 1
    assert order.index(2) <= 3


async def test_postgresql_worker_rejects_a_call_that_has_waited_too_long(
    worker: Worker, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "QUEUE_TIMEOUT", -1.0)
    with pytest.raises(UnavailableError):
        await worker.fetch_all(ONE, n=1)
    assert server.sent == []


async def test_postgresql_worker_runs_the_queued_statements_at_its_end(
    worker: Worker, server: Server
) -> None:
    server.gate.clear()
    calls = [worker.fetch_all(ONE, n=n) for n in range(3)]
    closing = asyncio.create_task(worker.close())
    await settle()
    with pytest.raises(UnavailableError):
        worker.fetch_all(ONE, n=3)
    server.gate.set()
    await closing
    assert [tuple(row) for [row] in await asyncio.gather(*calls)] == [(0,), (1,), (2,)]


Error = Callable[[], Exception]


@pytest.mark.parametrize("error", [asyncpg.SerializationError, asyncpg.DeadlockDetectedError])
@pytest.mark.parametrize("failures", [1, 4])
async def test_postgresql_statement_that_was_rolled_back_is_sent_again(
    worker: Worker, server: Server, monkeypatch: pytest.MonkeyPatch, error: Error, failures: int
) -> None:
    monkeypatch.setattr(sessions, "_PAUSE_SECONDS", 0.0)
    server.opened[0].errors = [error() for _ in range(failures)]
    assert [tuple(row) for row in await worker.fetch_all(ONE_WRITE, n=7)] == [(7,)]
    assert server.sent == [(7,)] * (failures + 1)
    assert len(server.opened) == 1


async def test_postgresql_statement_is_sent_again_a_bounded_number_of_times(
    worker: Worker, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_PAUSE_SECONDS", 0.0)
    server.opened[0].errors = [asyncpg.SerializationError() for _ in range(100)]
    with pytest.raises(UnavailableError):
        await worker.fetch_all(ONE_WRITE, n=7)
    assert len(server.sent) == 5


async def test_postgresql_read_is_repeated_once_on_a_new_connection(
    worker: Worker, server: Server
) -> None:
    server.opened[0].errors = [ConnectionResetError()]
    assert [tuple(row) for row in await worker.fetch_all(ONE, n=7)] == [(7,)]
    assert [len(connection.sent) for connection in server.opened] == [1, 1]


async def test_postgresql_write_is_not_repeated_after_its_answer_was_lost(
    worker: Worker, server: Server
) -> None:
    server.opened[0].errors = [ConnectionResetError()]
    with pytest.raises(AnswerLostError):
        await worker.fetch_all(ONE_WRITE, n=7)
    assert server.sent == [(7,)]
    assert [tuple(row) for row in await worker.fetch_all(ONE_WRITE, n=8)] == [(8,)]
    assert len(server.opened) == 2


def test_statement_numbers_its_names_and_leaves_casts_alone() -> None:
    statement = Statement("-- x\nSELECT :b::text, :a, ':c', x::int, :b", repeats=True)
    assert statement.text == "-- x\nSELECT $1::text, $2, '$3', x::int, $1"
    assert statement.bind({"a": lambda: 1, "b": 2, "c": 3}) == [2, 1, 3]
