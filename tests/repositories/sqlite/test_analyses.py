"""Large analyses: written, read and deleted in parts, and whole for everyone who looks."""

import asyncio
import signal
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Sized
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from support.cli import USER
from support.harness import Caller, Service, Start, database_of, export, is_problem, segment
from support.links import rows_left
from support.process import await_true, request, run, serving

from service.domain.errors import UnavailableError
from service.repositories.sqlite.analyses import PART_BYTES
from service.repositories.sqlite.engine.worker import ConnectionWorker
from service.web.app_keys import REPOSITORIES

SEGMENTS = "/api/videos/job-1/segments"
WRITE_TIME = 16 * 60.0  # seconds after which an unfinished analysis is deleted, and a minute more
PARTS = 6


def large(word: str, parts: int = PARTS) -> dict[str, Any]:
    """An export whose analysis has about so many parts, each segment of which says ``word``."""
    content = word * (8_000 // len(word))
    count = parts * PART_BYTES // 8_150
    return export(segments=[segment(n, n + 1, content=content) for n in range(count)])


def words(body: bytes) -> set[bytes]:
    """Which of the words stand in an analysis."""
    return {word for word in (b"before", b"after") if word in body}


Hook = Callable[[str, dict[str, Any]], Awaitable[None]]


class Statements:
    """Records the statements of a worker; ``before`` runs before each of one is submitted."""

    def __init__(self, worker: ConnectionWorker, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        """Of each statement: the bytes of its longest parameter."""
        self.results: dict[str, list[Any]] = {}
        """By the statement's name: its rows, or how many it changed."""
        self.before: Hook | None = None
        for name in ("execute", "fetch_all"):
            monkeypatch.setattr(worker, name, self._wrapped(getattr(worker, name)))

    def _wrapped(self, submit: Callable[..., "asyncio.Future[Any]"]) -> Callable[..., Any]:
        def wrapped(sql: str, **parameters: Any) -> "asyncio.Task[Any]":
            return asyncio.ensure_future(self._run(submit, sql, parameters))

        return wrapped

    async def _run(
        self, submit: Callable[..., "asyncio.Future[Any]"], sql: str, parameters: dict[str, Any]
    ) -> Any:
        name = sql.partition("\n")[0].removeprefix("-- ")
        if self.before is not None:
            await self.before(name, parameters)
        values = parameters.values()
        self.sizes.append(max((len(each) for each in values if isinstance(each, Sized)), default=0))
        result = await submit(sql, **parameters)
        self.results.setdefault(name, []).append(result)
        return result


@pytest.fixture
def writes(service: Service, monkeypatch: pytest.MonkeyPatch) -> Statements:
    return Statements(database_of(service.app).writer, monkeypatch)


@pytest.fixture
def reads(service: Service, monkeypatch: pytest.MonkeyPatch) -> Statements:
    return Statements(database_of(service.app).read_worker, monkeypatch)


def rows(service: Service, table: str) -> int:
    return rows_left(database_of(service.app).path, table)


async def test_put_writes_a_large_analysis_in_bounded_parts(
    service: Service, writes: Statements, reads: Statements
) -> None:
    answer = await service.alice.put("/api/videos/job-1", large("before"))
    assert answer.status == 201
    assert max(writes.sizes) == PART_BYTES
    assert writes.results["add a part of an analysis"] == [1] * rows(service, "analysis_parts")
    stored = await service.alice.get(SEGMENTS)
    assert len(stored.json) == PARTS * PART_BYTES // 8_150
    read = reads.results["read parts of an analysis"]
    assert max(sum(len(data) for (data,) in part) for part in read) == 4 * PART_BYTES
    assert b"".join(data for part in read for (data,) in part) == stored.body


async def test_put_stores_a_small_analysis_in_one_statement(
    service: Service, writes: Statements
) -> None:
    for _ in range(2):
        await service.alice.put_video(segments=[segment(0, 1)])
    assert set(writes.results) == {"put a video"}
    assert rows(service, "analyses") == 0


async def test_analysis_is_current_with_its_last_statement(
    service: Service, writes: Statements
) -> None:
    """Until then every reader sees the old one, whole; then the new one."""
    seen = []

    async def look(_name: str, _parameters: dict[str, Any]) -> None:
        writes.before = None  # the look itself writes nothing that counts
        seen.append(words((await service.alice.get(SEGMENTS)).body))
        seen.append(words((await service.public.get(path)).body))
        writes.before = look

    await service.alice.put("/api/videos/job-1", large("before"))
    path = f"/api/shared-reports/{(await service.alice.share())['share_hash']}/segments"
    writes.before = look
    assert (await service.alice.put("/api/videos/job-1", large("after"))).status == 200
    writes.before = None
    assert len(seen) > 2 * PARTS
    last = seen.index({b"after"}) if {b"after"} in seen else len(seen)
    assert seen == [{b"before"}] * last + [{b"after"}] * (len(seen) - last)
    assert words((await service.alice.get(SEGMENTS)).body) == {b"after"}
    assert words((await service.public.get(path)).body) == {b"after"}


@pytest.mark.parametrize("is_lost", [False, True])
async def test_put_that_fails_between_parts_leaves_the_old_analysis(
    service: Service, writes: Statements, *, is_lost: bool
) -> None:
    """A write is rejected, or the client hangs up."""
    await service.alice.put("/api/videos/job-1", large("before"))
    kept = rows(service, "analysis_parts")
    is_reached = asyncio.Event()

    async def fail(_name: str, parameters: dict[str, Any]) -> None:
        if parameters.get("number") == 3:
            is_reached.set()
            if is_lost:
                await asyncio.sleep(60)
            raise UnavailableError("The disk is full.")

    writes.before = fail
    put = asyncio.create_task(service.alice.put("/api/videos/job-1", large("after")))
    await asyncio.wait_for(is_reached.wait(), 30)
    assert rows(service, "analysis_parts") == kept + 3
    if is_lost:
        put.cancel()
        while "discard an analysis" not in writes.results:
            await asyncio.sleep(0.01)
    else:
        assert is_problem(await put, 503, "unavailable")
    assert words((await service.alice.get(SEGMENTS)).body) == {b"before"}
    await service.sweep()
    assert rows(service, "analysis_parts") == kept
    assert rows(service, "analyses") == 1


@pytest.mark.parametrize("statement", ["add a part of an analysis", "put a video"])
async def test_put_fails_if_its_parts_were_deleted_as_orphans(
    service: Service, writes: Statements, statement: str
) -> None:
    """As after a jump of the clock: nobody gets an analysis with a gap."""
    await service.alice.put("/api/videos/job-1", large("before"))

    async def jump(name: str, parameters: dict[str, Any]) -> None:
        if name == statement and parameters.get("number", 3) == 3:
            writes.before = None
            await service.advance(WRITE_TIME)
            await service.sweep()

    writes.before = jump
    answer = await service.alice.put("/api/videos/job-1", large("after"))
    assert is_problem(answer, 503, "unavailable")
    assert words((await service.alice.get(SEGMENTS)).body) == {b"before"}
    assert rows(service, "analyses") == 1


@pytest.mark.parametrize("is_deleted", [False, True])
@pytest.mark.parametrize("is_public", [False, True])
async def test_read_gives_one_analysis_if_it_is_replaced_meanwhile(
    service: Service, reads: Statements, *, is_public: bool, is_deleted: bool
) -> None:
    """The old one if its parts are still there; otherwise the new one; never some of each."""
    await service.alice.put("/api/videos/job-1", large("before"))
    link = await service.alice.share(modules=["scenes", "other"])
    read_parts = []

    async def replace(name: str, _parameters: dict[str, Any]) -> None:
        if name != "read parts of an analysis":
            return
        read_parts.append(name)
        if len(read_parts) == 2:
            if not is_deleted:
                monkeypatch.setattr(links, "delete_revoked", nothing)
            await service.alice.put("/api/videos/job-1", large("after"))
            await service.sweep()

    async def nothing(_limit: int) -> int:
        return 0

    links: Any = service.app[REPOSITORIES].links
    with pytest.MonkeyPatch.context() as monkeypatch:
        reads.before = replace
        if is_public:
            path = f"/api/shared-reports/{link['share_hash']}/segments"
            answer = await service.public.get(path)
        else:
            answer = await service.alice.get(SEGMENTS)
    assert answer.status == 200
    # A link's answer is never older than its last check.
    assert words(answer.body) == ({b"after"} if is_deleted or is_public else {b"before"})
    assert len(answer.json) == PARTS * PART_BYTES // 8_150


@pytest.mark.parametrize("way", ["delete", "replace", "shrink"])
async def test_old_analysis_is_deleted_in_bounded_batches(
    service: Service, writes: Statements, way: str
) -> None:
    await service.alice.put("/api/videos/job-1", large("before", parts=20))
    if way == "delete":
        await service.alice.delete("/api/videos/job-1")
    elif way == "shrink":
        await service.alice.put_video()
    else:
        await service.alice.put("/api/videos/job-1", large("after", parts=2))
    await service.sweep()
    batches = writes.results["delete parts of unused analyses"]
    assert max(batches) == 4
    assert sum(batches) >= 20
    assert rows(service, "analyses") == (way == "replace")
    assert rows(service, "analysis_parts") == (2 if way == "replace" else 0)
    assert rows(service, "videos") == (way != "delete")


async def test_analysis_in_the_column_of_an_earlier_release_is_served(
    service: Service,
) -> None:
    await service.alice.put("/api/videos/job-1", large("before"))
    expected = await service.alice.get(SEGMENTS)
    with closing(sqlite3.connect(database_of(service.app).path)) as connection:
        connection.execute(
            "UPDATE videos SET segments = ?, analysis_id = NULL", [expected.body.decode()]
        )
        connection.commit()
    assert (await service.alice.get(SEGMENTS)).body == expected.body
    assert (await service.alice.put("/api/videos/job-1", large("after"))).status == 200
    assert words((await service.alice.get(SEGMENTS)).body) == {b"after"}


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_kill_between_parts_leaves_the_old_analysis_whole(
    tmp_path: Path, start: Start
) -> None:
    created = await asyncio.to_thread(
        run, "keys", "create", "--user", USER, "--name", "x", folder=tmp_path
    )
    key = created.stdout.strip()
    database = tmp_path / "test.sqlite3"

    def put_and_kill() -> None:
        with serving(tmp_path) as server:
            url = f"{server.url}/api/videos/job-1"
            assert request("PUT", url, large("before"), Authorization=key)[0] == 201
            kept = rows_left(database, "analysis_parts")

            def put() -> None:
                with suppress(OSError):
                    request("PUT", url, large("after", parts=60), Authorization=key)

            thread = threading.Thread(target=put)
            thread.start()
            await_true(lambda: rows_left(database, "analysis_parts") > kept, "a part")
            server.stop(signal.SIGKILL)
            thread.join()
            assert kept < rows_left(database, "analysis_parts") < kept + 60

    await asyncio.to_thread(put_and_kill)
    service = await start()
    owner = Caller(service.client, key)
    assert words((await owner.get(SEGMENTS)).body) == {b"before"}
    service.clock.seconds = time.time() + WRITE_TIME
    await service.sweep()
    assert rows(service, "analyses") == 1
    assert words((await owner.get(SEGMENTS)).body) == {b"before"}
    assert rows(service, "analysis_parts") == PARTS
