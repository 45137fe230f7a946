"""Faults under the running process: reads go on, writes are refused, readiness says why, it heals.

What a machine can do to a process is done to a real one. A fault that this machine does not let a
test make skips its test, and says so.
"""

import asyncio
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.harness import Response, Service, Start, database_of, is_problem
from support.process import PATIENCE, Server, await_true, create_database, run, serving

from service.config import Config
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.engine.lock import serve_lock
from service.repositories.sqlite.engine.worker import ConnectionWorker
from service.web.app_keys import REPOSITORIES, SWEEPER

PAGE = 4096
BODY = {"video_id": "job-1"}
BOUND = 7.0  # seconds in which every refusal has come; one wait for a lock takes five


class Served:
    """A serving process with a video and a link, and a connection to it that is kept."""

    def __init__(self, folder: Path, server: Server, key: str) -> None:
        self.file = folder / "test.sqlite3"
        self.server = server
        host, port = server.url.removeprefix("http://").split(":")
        self.address = (host, int(port))
        self.key = key
        self.connection = self.connect()
        assert self.call("PUT", "/api/videos/job-1", {"video_name": "x"})[0] == 201
        self.link = self.create()["share_hash"]

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self.address, timeout=PATIENCE)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        connection: http.client.HTTPConnection | None = None,
    ) -> tuple[int, Any, str | None]:
        """Returns the status, the body's JSON and Retry-After."""
        connection = connection or self.connection
        connection.request(
            method, path, json.dumps(body) if body else None, {"Authorization": self.key}
        )
        answer = connection.getresponse()
        raw = answer.read()
        is_json = "json" in answer.headers["Content-Type"]
        return answer.status, json.loads(raw) if is_json else raw, answer.headers["Retry-After"]

    def create(self) -> Any:
        status, link, _ = self.call("POST", "/api/shared-reports", BODY)
        assert status == 201, link
        return link

    def view(self, share_hash: str) -> int:
        return self.call("GET", f"/api/shared-reports/{share_hash}")[0]

    def links(self) -> set[str]:
        status, links, _ = self.call("GET", "/api/videos/job-1/shared-reports")
        assert status == 200, links
        return {link["share_hash"] for link in links}

    def failing(self) -> dict[str, str]:
        status, health, _ = self.call("GET", "/readyz")
        checks = {name: said for name, said in health["checks"].items() if said != "ok"}
        assert (status == 503) == bool(checks)
        return checks

    def refused(self) -> str:
        """Reads go on, writes are refused in time; returns what readiness says of writing."""
        began = time.monotonic()
        for method, path, body in (
            ("POST", "/api/shared-reports", BODY),
            ("PUT", "/api/videos/job-1", {"video_name": "changed"}),
            ("DELETE", "/api/shared-reports/1", None),
        ):
            status, problem, retry_after = self.call(method, path, body)
            assert (status, retry_after) == (503, "1"), problem
            assert problem["type"] == "urn:shared-reports:problem:unavailable"
            assert "sqlite" not in json.dumps(problem).lower()
        assert time.monotonic() - began < BOUND
        self.reads_go_on()
        failing = self.failing()
        assert "database_read" not in failing
        return failing["database_write"]

    def reads_go_on(self) -> None:
        assert self.view(self.link) == 200
        assert self.call("GET", f"/r/{self.link}")[0] == 200
        assert self.link in self.links()
        assert self.call("GET", "/livez")[0] == 200

    def is_well(self) -> None:
        """It does all its work, and soon says so."""
        link = self.create()
        assert self.view(link["share_hash"]) == 200
        assert self.call("DELETE", f"/api/shared-reports/{link['id']}")[0] == 200
        assert self.view(link["share_hash"]) == 404
        await_true(lambda: not self.failing(), "readiness")

    def stops_well(self) -> None:
        """It ends by itself when it is told to, and leaves a sound file."""
        assert self.server.stop()[0] == 0
        assert "Traceback" not in self.server.log.read_text()
        checked = run("check", folder=self.file.parent)
        assert checked.returncode == 0, checked.stdout

    def faults(self) -> list[str]:
        return [each["error"] for each in self.server.events() if each["event"] == "database fault"]


Serve = Callable[..., AbstractContextManager[Served]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    @contextmanager
    def serve(folder: Path = tmp_path) -> Iterator[Served]:
        made = run("keys", "create", "--user", f"{1:032}", "--name", "x", folder=folder)
        with serving(folder) as server:
            service = Served(folder, server, made.stdout.strip())
            with closing(service.connection):
                yield service

    return serve


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small disk can't be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(PAGE))
        except OSError:
            return filler


# -- the disk ---------------------------------------------------------------


def test_full_disk_refuses_writes_until_space_is_freed(serve: Serve, small_disk: Path) -> None:
    with serve(small_disk) as service:
        filler = fill(small_disk)
        assert service.refused() == "database or disk is full (SQLITE_FULL)"
        filler.unlink()
        service.is_well()
        assert service.links() == {service.link}
        service.stops_well()


def test_disk_write_errors_refuse_writes_and_keep_reads(serve: Serve) -> None:
    """As one that is full, over its quota or failing: every write of the process fails."""
    with serve() as service:
        pid = service.server.process.pid
        limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, limits[1]))
        assert service.refused() == "disk I/O error (SQLITE_IOERR_WRITE)"
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
        service.is_well()
        assert service.links() == {service.link}
        service.stops_well()


@contextmanager
def immutable(file: Path) -> Iterator[None]:
    files = [str(each) for each in (file, file.with_name(f"{file.name}-wal")) if each.exists()]
    if subprocess.run(["chattr", "+i", *files], check=False, capture_output=True).returncode:
        pytest.skip("files can't be made immutable here")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *files], check=True)


def test_read_only_files_refuse_writes_and_keep_reads(serve: Serve) -> None:
    with serve() as service:
        with immutable(service.file):
            assert service.refused().startswith("disk I/O error (SQLITE_IOERR")
        service.is_well()
        assert service.links() == {service.link}
        service.stops_well()


# -- the lock ---------------------------------------------------------------


def test_write_lock_of_another_process_refuses_each_waiting_write(serve: Serve) -> None:
    """However many wait for it, each is refused after one wait, and what it asked for not done."""
    callers = 12
    with serve() as service, closing(sqlite3.connect(service.file)) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")

        def create(number: int) -> tuple[int, str | None, float]:
            time.sleep(number / 4)  # one after the other: no two of them share a task
            began = time.monotonic()
            with closing(service.connect()) as connection:
                status, _, retry_after = service.call(
                    "PUT", f"/api/videos/other-{number}", {"video_name": "x"}, connection
                )
            return status, retry_after, time.monotonic() - began

        with ThreadPoolExecutor(callers) as threads:
            waiting = [threads.submit(create, number) for number in range(callers)]
            while not all(each.done() for each in waiting):
                service.reads_go_on()
                time.sleep(0.1)
        answers = [each.result() for each in waiting]
        assert {answer[:2] for answer in answers} == {(503, "1")}
        assert max(seconds for _, _, seconds in answers) < BOUND
        assert service.failing() == {"database_write": "no answer within 2 s"}
        other.execute("ROLLBACK")
        service.is_well()
        assert len(service.call("GET", "/api/videos")[1]) == 1
        assert service.faults() == ["database is locked (SQLITE_BUSY)"]
        service.stops_well()


def test_shutdown_under_a_foreign_write_lock_names_the_lost_data(serve: Serve) -> None:
    with serve() as service, closing(sqlite3.connect(service.file)) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        service.reads_go_on()  # views that have still to be written down
        code, seconds = service.server.stop()
        assert code == 0
        assert seconds < 2 * BOUND
        lost = service.server.events()
        assert [each["task"] for each in lost if each["event"] == "flush on shutdown failed"] == [
            "key use",
            "views",
        ]
        assert "Traceback" not in service.server.log.read_text()


# -- the files --------------------------------------------------------------

GONE = "test.sqlite3 was deleted under the running service."


def ours(file: Path) -> list[Path]:
    return [file, *(file.with_name(f"{file.name}{each}") for each in ("-wal", "-shm"))]


def open_files(service: Served) -> list[str]:
    folder = Path(f"/proc/{service.server.process.pid}/fd")
    return [str(each.readlink()) for each in folder.iterdir()]


def copied(service: Served) -> Path:
    copy = service.file.with_name("copy.sqlite3")
    assert run("backup", str(copy), folder=service.file.parent).returncode == 0
    return copy


def test_database_file_deleted_refuses_writes_until_it_is_restored(serve: Serve) -> None:
    """What would be written to a file without a name is not acknowledged."""
    with serve() as service:
        copy = copied(service)
        later = service.create()["share_hash"]
        assert service.view(later) == 200  # it is kept, and the copy has the same cache generation
        for each in ours(service.file):
            each.unlink()
        assert service.refused() == GONE
        shutil.move(copy, service.file)
        own = service.create()["share_hash"]
        assert service.view(later) == 404
        assert service.links() == {service.link, own}
        service.is_well()
        assert not [each for each in open_files(service) if each.endswith(" (deleted)")]
        service.stops_well()


def test_database_file_moved_away_refuses_writes_until_it_is_back(serve: Serve) -> None:
    with serve() as service:
        away = service.file.with_name("away")
        service.file.rename(away)
        assert service.refused() == GONE
        away.rename(service.file)
        service.is_well()
        assert service.links() == {service.link}
        service.stops_well()


def test_database_file_replaced_beside_its_old_log_is_switched_to(serve: Serve) -> None:
    """The log must not be taken for that of the new file."""
    with serve() as service:
        copy = copied(service)
        later = [service.create()["share_hash"] for _ in range(20)]
        old = service.file.with_name("old")
        service.file.rename(old)
        copy.rename(service.file)
        service.is_well()
        assert service.links() == {service.link}
        with closing(sqlite3.connect(old)) as moved:  # what was acknowledged is in the old one
            rows = moved.execute("SELECT share_hash FROM shared_reports").fetchall()
        assert {row[0] for row in rows} == {service.link, *later}
        service.stops_well()


@pytest.mark.parametrize("which", [1, 2], ids=["log", "index"])
def test_log_deletion_loses_no_acknowledged_write(serve: Serve, which: int) -> None:
    with serve() as service:
        acknowledged = {service.link, *(service.create()["share_hash"] for _ in range(20))}
        ours(service.file)[which].unlink()
        acknowledged.add(service.create()["share_hash"])
        service.server.process.kill()
        service.server.process.wait(PATIENCE)
        with closing(sqlite3.connect(service.file)) as left:
            rows = left.execute("SELECT share_hash FROM shared_reports").fetchall()
        assert {row[0] for row in rows} == acknowledged


def test_database_file_replaced_by_another_format_is_not_opened(serve: Serve) -> None:
    with serve() as service:
        away = service.file.with_name("away")
        service.file.rename(away)
        with closing(sqlite3.connect(service.file)) as stranger:
            stranger.execute("CREATE TABLE t (x)")
        before = service.file.read_bytes()
        said = "test.sqlite3 was replaced by what is no database of this release."
        assert service.refused() == said
        service.file.write_text("no database at all, and longer than a header of a database is")
        assert service.refused() == said
        service.file.write_bytes(before)
        assert service.refused() == said
        assert service.file.read_bytes() == before
        away.rename(service.file)
        service.is_well()
        service.stops_well()


def test_database_file_served_by_another_process_is_not_opened(serve: Serve) -> None:
    with serve() as service:
        copy = copied(service)
        for each in service.file.parent.glob("test.sqlite3*"):  # the lock as well
            each.unlink()
        copy.rename(service.file)
        with serve_lock(service.file, "is being served"):
            assert service.refused().endswith("is served by another process.")
        service.is_well()
        with (
            pytest.raises(Exception, match="is being served"),
            serve_lock(service.file, "is being served"),
        ):
            pass
        service.stops_well()


def test_damaged_file_is_served_where_intact_until_it_is_replaced(serve: Serve) -> None:
    """What the damage has not reached is still served, and the rest once a copy is in its place."""
    with serve() as service:
        copy = copied(service)
        with closing(sqlite3.connect(service.file)) as other:
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
            [[page]] = other.execute(
                "SELECT rootpage FROM sqlite_schema WHERE name = 'shared_reports'"
            ).fetchall()
        service.call("PUT", "/api/videos/job-1", {"video_name": "y"})  # caches are looked at anew
        with service.file.open("r+b") as file:
            file.seek((page - 1) * PAGE)
            file.write(b"\xff" * PAGE)
        with closing(service.connect()) as connection:
            status, problem, retry_after = service.call(
                "POST", "/api/shared-reports", BODY, connection
            )
        assert (status, retry_after) == (503, "1"), problem
        assert service.call("GET", "/api/videos")[0] == 200
        assert (
            service.failing()["database_read"] == "The file is damaged: see `shared-reports check`."
        )
        assert "malformed" in service.faults()[0]
        copy.rename(service.file)
        service.is_well()
        assert service.links() == {service.link}
        service.stops_well()


# -- descriptors ------------------------------------------------------------


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_file_descriptor_exhaustion_keeps_connected_clients_served(serve: Serve) -> None:
    """Those who are connected are served, others are turned away without a storm of tries."""
    with serve() as service:
        pid = service.server.process.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(open_files(service)), limits[1]))
        turned_away = [socket.create_connection(service.address) for _ in range(20)]
        spent, lines = processor_seconds(pid), len(service.server.events())
        for each in turned_away:
            each.settimeout(1)
            with each, suppress(OSError):
                assert not each.recv(1)
        service.reads_go_on()
        service.is_well()
        assert service.call("GET", "/docs")[0] == 200
        assert service.call("GET", "/metrics")[0] == 200
        assert processor_seconds(pid) - spent < 1
        assert len(service.server.events()) - lines < 20 + 20
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        with closing(service.connect()) as connection:
            assert service.call("GET", "/livez", connection=connection)[0] == 200
        service.stops_well()


# -- the tables -------------------------------------------------------------


def test_missing_tables_are_named_and_do_not_block_the_shutdown(serve: Serve) -> None:
    """A fault of the operator's: it is named, and the stop is as clean as any."""
    with serve() as service:
        service.reads_go_on()
        with closing(sqlite3.connect(service.file)) as other:
            for table in ("idempotency_keys", "shared_reports", "api_keys"):
                other.execute(f"DROP TABLE {table}")
        failing = service.failing()
        assert failing["database_write"] == "no such table: api_keys (SQLITE_ERROR)"
        assert service.call("GET", f"/api/shared-reports/{'A' * 16}")[0] == 500
        code, _ = service.server.stop()
        assert code == 0
        left = [e for e in service.server.events() if e["event"] == "flush on shutdown failed"]
        assert [(each["task"], each["error"]) for each in left] == [
            ("key use", "no such table: api_keys (SQLITE_ERROR)"),
            ("views", "no such table: shared_reports (SQLITE_ERROR)"),
        ]


# -- the connections --------------------------------------------------------


async def close_reader(database: Database) -> None:
    database.reader._connection.close()


async def close_connection(worker: ConnectionWorker) -> None:
    assert worker.connection is not None
    await worker.connection._execute(worker.connection._conn.close)  # type: ignore[no-untyped-call]


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


def test_start_with_a_full_disk_or_damaged_file_fails_with_one_line(
    tmp_path: Path, small_disk: Path
) -> None:
    create_database(small_disk)
    for each in small_disk.iterdir():
        (tmp_path / each.name).write_bytes(each.read_bytes())
    fill(small_disk)
    with (tmp_path / "test.sqlite3").open("r+b") as file:
        file.seek(PAGE // 2)
        file.write(b"\xff" * 20 * PAGE)
    for folder, said in ((small_disk, "disk"), (tmp_path, "malformed")):
        result = run("serve", folder=folder)
        assert result.returncode == 1
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr
        assert said in result.stderr


def test_start_with_a_read_only_file_fails_with_one_line(tmp_path: Path) -> None:
    create_database(tmp_path)
    with immutable(tmp_path / "test.sqlite3"):
        result = run("serve", folder=tmp_path)
        assert run("keys", "list", folder=tmp_path).returncode == 0
    assert result.returncode == 1
    [line] = result.stderr.strip().splitlines()
    assert line.endswith("test.sqlite3 may only be read")


# -- the process ------------------------------------------------------------


def test_crash_below_python_is_logged_with_its_signal(serve: Serve) -> None:
    """A disk that turns read-only under the log's index, which is mapped, ends in this signal."""
    with serve() as service:
        service.server.process.send_signal(signal.SIGBUS)
        assert service.server.process.wait(PATIENCE) == -signal.SIGBUS
        assert "Fatal Python error: Bus error\n" in service.server.log.read_text()


# -- the clock --------------------------------------------------------------


@pytest.mark.parametrize("jump", [3600, -3600])
async def test_clock_jump_changes_links_at_once_and_nothing_else(
    service: Service, jump: int
) -> None:
    """What is true of a link follows the clock at once, the rest works as before."""
    await service.alice.put_video()
    soon = await service.alice.share(expires_at="2025-01-15T10:30:00")
    past = await service.alice.share(expires_at="2025-01-15T10:00:01")
    service.clock.advance(10)
    await service.sweep()  # which ends the second for good
    service.clock.advance(jump)
    status = 410 if jump > 0 else 200
    assert (await service.public.get(f"/api/shared-reports/{soon['share_hash']}")).status == status
    assert (await service.public.get(f"/api/shared-reports/{past['share_hash']}")).status == 410
    await service.sweep()
    listed = (await service.alice.get("/api/videos/job-1/shared-reports")).json
    assert [each["is_active"] for each in listed] == [0, 0 if jump > 0 else 1]
    link = await service.alice.share(expires_at="2025-01-15T12:00:00")
    assert (await service.public.get(f"/api/shared-reports/{link['share_hash']}")).status == 200
    assert (await service.public.get("/readyz")).status == 200
    assert (await service.public.get("/metrics")).status == 200


@pytest.mark.parametrize("jump", [3600, -3600])
async def test_clock_jump_prolongs_no_rate_limit(start: Start, config: Config, jump: int) -> None:
    service = await start(replace(config, lookup_rate_limit=2))
    for _ in range(2):
        await service.public.get("/api/shared-reports/nothing")
    limited = await service.public.get("/api/shared-reports/nothing")
    assert is_problem(limited, 429, "too-many-requests")
    service.clock.advance(jump)
    assert (await service.public.get("/api/shared-reports/nothing")).status == 404


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


# -- the background task ----------------------------------------------------


async def test_sweeper_failure_is_named_by_readiness_and_stops_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.alice.put_video()
    task = service.app[SWEEPER].task

    async def fail(_limit: int) -> int:
        raise RuntimeError("broken")

    monkeypatch.setattr(service.app[REPOSITORIES].links, "delete_old_keys", fail)
    task.wake()
    await until(lambda: task.failures)
    answer = await service.public.get("/readyz")
    assert answer.status == 503
    assert answer.json["checks"]["sweeper"] == "the last 1 passes failed"
    link = await service.alice.share()
    assert (await service.public.get(f"/api/shared-reports/{link['share_hash']}")).status == 200
    monkeypatch.undo()
    task.wake()
    await until(lambda: not task.failures)
    assert (await service.public.get("/readyz")).status == 200
