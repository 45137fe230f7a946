"""The lock file: whose it is, what it contains, and what happens to it under the service."""

import fcntl
import stat
from pathlib import Path

import pytest
from support.process import await_true, create_database, run, serving

from service.domain.errors import BackupError, DatabaseRefusedError
from service.repositories.sqlite.engine import backup
from service.repositories.sqlite.engine.lock import serve_lock


def test_lock_file_is_private_and_names_the_file(tmp_path: Path) -> None:
    database, lock = tmp_path / "test.sqlite3", tmp_path / "test.sqlite3.lock"
    lock.touch(mode=0o644)  # as an earlier release left it
    with serving(tmp_path):
        status = database.stat()
        assert stat.S_IMODE(lock.stat().st_mode) == 0o600
        assert lock.read_text() == f"{status.st_dev} {status.st_ino}\n"


def test_lock_file_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    lock = tmp_path / "test.sqlite3.lock"
    with serving(tmp_path) as server:
        lock.unlink()
        await_true(lambda: lock.exists() and lock.read_text(), "another lock file")
        with lock.open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert server.stop()[0] == 0


def test_lock_file_is_never_opened_through_a_link(tmp_path: Path) -> None:
    create_database(tmp_path)
    target = tmp_path / "precious"
    target.write_text("precious")
    (tmp_path / "test.sqlite3.lock").symlink_to(target)
    for command in ("serve", "keys list"):
        result = run(*command.split(), folder=tmp_path)
        assert result.returncode == 1
        assert "test.sqlite3.lock" in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert target.read_text() == "precious"


def test_lock_file_replaced_while_it_is_locked_is_locked_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lock = tmp_path / "x.sqlite3", tmp_path / "x.sqlite3.lock"
    flock, calls = fcntl.flock, 0

    def replace_first(descriptor: int, operation: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:  # it locks a file that has no name any more
            lock.unlink()
            lock.touch()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", replace_first)
    with serve_lock(path, "is served") as held:
        assert held.holds()
        with pytest.raises(DatabaseRefusedError, match="is served"), serve_lock(path, "is served"):
            pass
        lock.unlink()
        lock.touch()
        assert not held.holds()
    assert calls == 3


@pytest.mark.parametrize(
    "suffix", ["", ".lock", "-wal", "-shm", "-journal", ".before-2", ".7.partial"]
)
def test_backup_refuses_reserved_names(tmp_path: Path, suffix: str) -> None:
    create_database(tmp_path)
    dest = tmp_path / f"test.sqlite3{suffix}"
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    result = run("backup", "--force", dest, folder=tmp_path)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    with pytest.raises(BackupError):
        backup.copy(tmp_path / "test.sqlite3", dest, replace=True)
