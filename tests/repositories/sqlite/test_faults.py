"""Faults under the running process: reads go on, writes are refused, readiness says why, it heals.

What a machine can do to a process is done to a real one. A fault that this machine does not let a
test make skips its test, and says so.
"""

import asyncio
import resource
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.faults import BOUND, PAGE, Serve, serve_in
from support.harness import Service, Start, is_problem
from support.process import PATIENCE, create_database, run

from service.config import Config
from service.web.app_keys import REPOSITORIES, SWEEPER

serve = pytest.fixture(serve_in)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder on a disk: in memory, an immutable file can be written by who has it open."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


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


# -- the start --------------------------------------------------------------


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
    await service.advance(10)
    await service.sweep()  # which ends the second for good
    await service.advance(jump)
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
    await service.advance(jump)
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
