"""One file is the database, for every process: while it is moved, deleted, restored and linked to.

The service is stopped (SIGSTOP) where a command has to come before the service sees the change.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support.commands import Served
from support.files import links
from support.harness import SAMPLE, Start
from support.process import (
    PATIENCE,
    await_true,
    create_database,
    get,
    new_key,
    request,
    run,
    serving,
)

from service.config import Config
from service.repositories.sqlite.engine.database import open_database

USER = f"{1:032}"
REOPENED = "database file was replaced; reopened"
READING = [
    ["keys", "list"],
    ["links", "list", "--user", USER],
    ["sweep", "--dry-run"],
    ["check"],
]
WRITING = [
    ["keys", "create", "--user", USER, "--name", "y"],
    ["links", "revoke", "1", "--user", USER],
    ["import", str(SAMPLE), "--user", USER],
]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    key = new_key(tmp_path, USER)
    with serving(tmp_path) as server:
        yield Served(tmp_path, server, key)


def files(database: Path) -> list[Path]:
    return [database.with_name(f"{database.name}{suffix}") for suffix in ("", "-wal", "-shm")]


# -- a file that is missing ---------------------------------------------------


@pytest.mark.parametrize("command", [*READING, WRITING[1]], ids=" ".join)
def test_command_creates_no_database_where_there_is_none(
    tmp_path: Path, command: list[str]
) -> None:
    for content in (None, b""):
        if content is not None:
            (tmp_path / "test.sqlite3").write_bytes(content)
        result = run(*command, folder=tmp_path)
        assert result.returncode == 1
        assert len((result.stderr or result.stdout).strip().splitlines()) <= 2
        assert [file.read_bytes() for file in tmp_path.iterdir()] == (
            [] if content is None else [b""]
        )


@pytest.mark.parametrize("count", [1, 3], ids=["file", "file-and-log"])
def test_command_refuses_a_file_deleted_under_the_service(served: Served, count: int) -> None:
    """And creates none: the service has the only copy open, and goes on answering from it."""
    copy = served.copy()
    later = served.create()
    for file in files(served.file)[:count]:
        file.unlink()
    commands = [command for command in (*READING, *WRITING, ["serve"]) if command != ["check"]]
    [line] = served.refuses(*commands)
    assert "was moved or deleted under the running service" in line
    served.refuses(["check"])
    assert not served.file.exists()
    assert [served.view(share_hash) for share_hash in (served.first, later)] == [200, 200]
    copy.rename(served.file)
    served.server.wait_for(REOPENED)
    assert run("keys", "list", folder=served.folder).returncode == 0
    assert [served.view(share_hash) for share_hash in (served.first, later)] == [200, 404]
    served.create()
    served.stops_well()


def test_command_creates_nothing_after_all_files_were_deleted(served: Served) -> None:
    """The lock file as well: the service makes another, which names the file that it has open."""
    lock = served.file.with_name(f"{served.file.name}.lock")
    for file in served.folder.glob("test.sqlite3*"):
        file.unlink()
    await_true(lambda: lock.exists() and lock.read_text(), "another lock file")
    [line] = served.refuses(*WRITING)
    assert "was moved or deleted" in line
    assert not served.file.exists()
    assert served.view(served.first) == 200


@pytest.mark.parametrize("command", [WRITING[0], WRITING[2]], ids=["keys create", "import"])
def test_service_does_not_adopt_what_a_command_created(served: Served, command: list[str]) -> None:
    """The lock file was deleted as well, so the command finds no sign of the service."""
    with served.stopped():
        for file in served.folder.glob("test.sqlite3*"):
            file.unlink()
        created = run(*command, folder=served.folder)
        assert created.returncode == 0, created.stderr
    put = f"{served.server.url}/api/videos/k"
    status, body = request("PUT", put, {"video_name": "x"}, Authorization=served.key)
    assert status == 503, body
    assert b"replaced by a database that was never served" in get(f"{served.server.url}/readyz")[1]
    assert served.view(served.first) == 200


# -- a file that was replaced ---------------------------------------------------


def test_command_refuses_a_copy_that_is_not_served_yet(served: Served) -> None:
    """The log at the path is that of the old file: it would be written into the copy."""
    copy = served.copy()
    later = {served.create() for _ in range(20)}
    old = served.folder / "old"
    with served.stopped():
        served.file.rename(old)
        copy.rename(served.file)
        before = served.file.read_bytes()
        [line] = served.refuses(*READING, *WRITING)
        assert "is not the file that the running service has open" in line
        assert served.file.read_bytes() == before
    served.server.wait_for(REOPENED)
    assert run(*WRITING[0], folder=served.folder).returncode == 0
    assert served.view(next(iter(later))) == 404
    served.stops_well()
    assert links(old) == {served.first, *later}
    assert later.isdisjoint(links(served.file))


def test_revoke_by_command_holds_after_a_restore(served: Served) -> None:
    """The service writes nothing in between: it sees the new file by itself."""
    copy = served.copy()
    assert served.view(served.first) == 200
    copy.rename(served.file)
    await_true(
        lambda: run("links", "revoke", "1", "--user", USER, folder=served.folder).returncode == 0,
        "the command is not refused any more",
    )
    assert served.view(served.first) == 404


def test_copy_beside_the_log_of_a_killed_service_is_refused(served: Served) -> None:
    copy = served.copy()
    later = served.create()
    old = served.folder / "old"
    with served.stopped():
        served.file.rename(old)
        copy.rename(served.file)
        served.server.process.kill()
        served.server.process.wait(PATIENCE)
    before = [file.read_bytes() for file in files(served.file)[:2]]
    assert all(before)
    [line] = served.refuses(*READING, *WRITING, ["serve"], ["backup", "second"])
    assert "is the log of another file" in line
    assert [file.read_bytes() for file in files(served.file)[:2]] == before
    for suffix in ("-wal", "-shm"):
        Path(f"{served.file}{suffix}").rename(f"{old}{suffix}")
    assert run("check", folder=served.folder).returncode == 0
    assert links(served.file) == {served.first}
    assert links(old) == {served.first, later}


def test_log_without_its_database_is_kept(served: Served) -> None:
    later = served.create()
    served.server.process.kill()
    served.server.process.wait(PATIENCE)
    away = served.folder / "away"
    served.file.rename(away)
    [line] = served.refuses(*WRITING, ["serve"])
    assert "its write-ahead log is not" in line
    away.rename(served.file)
    assert links(served.file) == {served.first, later}


def test_command_refuses_a_file_served_by_another_name(served: Served) -> None:
    away = served.folder / "away"
    with served.stopped():
        served.file.rename(away)
        [line] = served.refuses(*READING, *WRITING, DATABASE=away)
        assert "is being served by another name" in line
        away.rename(served.file)
    assert run("keys", "list", folder=served.folder).returncode == 0


def test_replacement_beside_a_log_in_use_is_refused(served: Served) -> None:
    """Without a lock file, the locks on the log's index tell that it is another file's."""
    copy = served.copy()
    with served.stopped():
        served.file.with_name(f"{served.file.name}.lock").unlink()
        copy.rename(served.file)
        with closing(sqlite3.connect(served.file, isolation_level=None)) as connection:
            for suffix in ("-wal", "-shm"):
                Path(f"{served.file}{suffix}").rename(served.folder / f"kept{suffix}")
            connection.execute("PRAGMA journal_mode = WAL")  # so that its header tells nothing
        for suffix in ("-wal", "-shm"):
            (served.folder / f"kept{suffix}").replace(f"{served.file}{suffix}")
        [line] = served.refuses(*READING, *WRITING)
        assert "is the log of another file" in line


# -- names ------------------------------------------------------------------------


def test_log_deleted_behind_a_symbolic_link_takes_nothing_along(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "test.sqlite3").symlink_to(real / "data.sqlite3")
    key = new_key(tmp_path, USER)
    with serving(tmp_path) as server:
        served = Served(tmp_path, server, key)
        acknowledged = {served.first, *(served.create() for _ in range(5))}
        (real / "data.sqlite3-wal").unlink()
        acknowledged.add(served.create())
        server.process.kill()
        server.process.wait(PATIENCE)
    assert links(real / "data.sqlite3") == acknowledged


@pytest.mark.parametrize("way", ["symbolic link", "hard link", "without the lock file"])
def test_second_service_on_one_file_is_refused(served: Served, way: str) -> None:
    name = served.folder / "other.sqlite3"
    if way == "symbolic link":
        name.symlink_to(served.file)
    elif way == "hard link":
        name.hardlink_to(served.file)
    else:
        name = served.file
    with served.stopped():
        if way == "without the lock file":
            name.with_name(f"{name.name}.lock").unlink()
        second = run("serve", folder=served.folder, DATABASE=name)
        assert (second.returncode, second.stdout) == (1, "")
        [line] = second.stderr.splitlines()
        assert "is being served by another" in line or "hard links" in line
    if way == "hard link":
        name.unlink()
    served.create()
    served.stops_well()


def test_command_refuses_a_file_with_hard_links(tmp_path: Path) -> None:
    create_database(tmp_path)
    (tmp_path / "other").hardlink_to(tmp_path / "test.sqlite3")
    for command in (["keys", "list"], ["serve"], ["backup", "copy"]):
        result = run(*command, folder=tmp_path)
        assert (result.returncode, "has 2 names" in result.stderr) == (1, True)


# -- what a command's acknowledgement means -------------------------------------------


async def test_command_waits_for_old_snapshots_after_its_last_write(
    config: Config, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look-up reads from a snapshot of 5 ms ago at most; its age then is that of no write."""
    await start(replace(config))
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with open_database(config.sqlite_file, serves=False) as database:
        await database.read_worker.fetch_all("SELECT 1")
        monkeypatch.setattr("service.repositories.sqlite.engine.database.asyncio.sleep", sleep)
    assert slept == []
    monkeypatch.undo()
    async with open_database(config.sqlite_file, serves=False) as database:
        await database.writer.fetch_all("UPDATE videos SET name = 'x' RETURNING id")
        monkeypatch.setattr("service.repositories.sqlite.engine.database.asyncio.sleep", sleep)
    assert slept == [0.005]
