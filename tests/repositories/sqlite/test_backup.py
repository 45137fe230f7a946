"""Copies of the database, made beside a running service."""

import json
import resource
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support.docs import blocks
from support.files import damage, filled_database, links, names, row_counts
from support.process import (
    COMMAND,
    PATIENCE,
    Load,
    environment,
    get,
    new_key,
    run,
    run_on_terminal,
    serving,
)

from service.domain.errors import BackupError
from service.repositories.sqlite.engine import backup
from service.repositories.sqlite.engine.migrate import SCHEMA

USER = f"{1:032}"
EXPORT = {"job_id": "j", "video_name": "x", "segments": []}

# Copies, and stands still in the middle of it.
HALF_WAY = """
import sys, time
from pathlib import Path
from service.repositories.sqlite.engine.backup import copy

def stand_still(done, of):
    print(done, of, flush=True)
    time.sleep(60)

copy(Path(sys.argv[1]), Path(sys.argv[2]), progress=stand_still)
"""


database = pytest.fixture(filled_database)


def add_link(connection: sqlite3.Connection, share_hash: str) -> None:
    connection.execute(
        "INSERT INTO shared_reports (user_id, video_id, share_hash, created_at)"
        " VALUES ('u', 1, ?, '2025-01-15T10:00:00')",
        [share_hash],
    )


def test_backup_under_load_holds_every_link_acknowledged_before_it(tmp_path: Path) -> None:
    key = new_key(tmp_path, USER)
    (tmp_path / "export.json").write_text(json.dumps(EXPORT))
    run("import", tmp_path / "export.json", "--user", USER, folder=tmp_path)
    copy = tmp_path / "copies" / "copy.sqlite3"
    copy.parent.mkdir()
    with serving(tmp_path) as server, Load(server.url, key, "j") as load:
        for _ in range(3):
            before = list(load.acknowledged)
            made = run("backup", "--force", copy, folder=tmp_path)
            assert (made.returncode, made.stderr) == (0, "")
            kept = links(copy)
            assert kept >= set(before)
            assert f"{len(kept)} shared_reports" in made.stdout
            assert names(copy.parent) == {"copy.sqlite3"}
            assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert before, "nothing was written meanwhile"
        assert run("check", folder=tmp_path).returncode == 0
        assert get(f"{server.url}/readyz")[0] == 200
    assert run("check", copy, folder=tmp_path).returncode == 0
    with serving(copy.parent, DATABASE=copy) as server:
        for share_hash in list(kept)[:10]:
            assert get(f"{server.url}/api/shared-reports/{share_hash}")[0] == 200


def test_backup_copy_holds_one_moment_despite_concurrent_writes(
    database: Path, tmp_path: Path
) -> None:
    """And it ends: SQLite begins anew with each write, where it is not held to one moment."""
    steps: list[tuple[int, int]] = []
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        add_link(writer, "before")

        def write(done: int, of: int) -> None:
            steps.append((done, of))
            assert len(steps) < 100, "it begins again and again"
            add_link(writer, f"during{len(steps)}")

        copied = backup.copy(database, tmp_path / "copy", progress=write)
    assert len(steps) >= 4
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1]
    assert links(tmp_path / "copy") == {"before"}
    kept = {table: count for table, count in copied.rows.items() if count}
    assert kept == {"cache_generation": 1, "shared_reports": 1, "user_usage": 1, "videos": 1}
    assert copied.version == SCHEMA.version


def test_backup_copy_needs_no_other_file(database: Path, tmp_path: Path) -> None:
    """It can be read from a folder that nobody may write to."""
    backup.copy(database, tmp_path / "copy")
    with closing(sqlite3.connect(tmp_path / "copy")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert names(tmp_path) <= {f"{database.name}{end}" for end in ("", "-wal", "-shm")} | {"copy"}


def test_backup_writes_nothing_to_the_database(database: Path, tmp_path: Path) -> None:
    """Not even the checkpoint of the last one to close, which is for the service alone."""
    crash = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        " c.execute('UPDATE videos SET name = 1'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", crash, database], timeout=PATIENCE, check=True)
    files = [database, database.with_name(f"{database.name}-wal")]
    before = [file.read_bytes() for file in files]
    assert all(before)
    assert run("backup", tmp_path / "copy", folder=tmp_path).returncode == 0
    assert run("check", folder=tmp_path).returncode == 0
    assert [file.read_bytes() for file in files] == before


def test_backup_that_is_killed_leaves_no_file_with_its_name(database: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", HALF_WAY, database, copies / "copy"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process.stdout as output:
        done, of = map(int, output.readline().split())
        assert 0 < done < of
        process.kill()
        process.wait(PATIENCE)
    [partial] = names(copies)
    assert partial.startswith("copy.")
    assert partial.endswith(".partial")
    backup.copy(database, copies / "copy")
    assert names(copies) == {"copy", partial}


def test_backup_that_fails_leaves_no_file(database: Path, tmp_path: Path) -> None:
    """The disk is full, as far as this process can see."""
    copies = tmp_path / "copies"
    copies.mkdir()
    failed = subprocess.run(
        [*COMMAND, "backup", copies / "copy"],
        env=environment(tmp_path),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20)),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith(f"shared-reports: {database} could not be copied to {copies}")
    assert len(failed.stderr.splitlines()) == 1
    assert names(copies) == set()


def test_backup_replaces_a_file_only_with_force(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_text("mine")
    refused = run("backup", copy, folder=tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"shared-reports: {copy} exists; nothing was done to it.\n"
    assert copy.read_text() == "mine"
    assert run("backup", copy, "--force", folder=tmp_path).returncode == 0
    assert backup.check(copy).rows["videos"] == 1
    assert database.exists()


def test_backup_keeps_a_file_created_during_the_copy(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"

    def come(*_: int) -> None:
        copy.write_text("mine")

    with pytest.raises(BackupError, match="exists"):
        backup.copy(database, copy, progress=come)
    assert copy.read_text() == "mine"


def test_backup_rejects_invalid_destinations(database: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(database)
    used = tmp_path / "used"
    used.with_name("used-wal").touch()
    before = database.read_bytes()
    for dest, why in [
        (database, "is the database itself"),
        (link, "is the database itself"),
        (tmp_path, "is a folder"),
        (tmp_path / "none" / "copy", "There is no folder"),
        (used, "used-wal lies there"),
    ]:
        with pytest.raises(BackupError, match=why):
            backup.copy(database, dest, replace=True)
    assert database.read_bytes() == before
    with pytest.raises(BackupError, match="There is no"):
        backup.copy(tmp_path / "none", tmp_path / "copy")


@pytest.mark.parametrize("fault", ["damage", "loss", "hold"])
def test_backup_deletes_a_copy_that_differs_from_the_database(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    real = backup._copy_pages

    def worse(source: Path, partial: Path, progress: backup.Progress) -> dict[str, int]:
        rows = real(source, partial, progress)
        if fault == "damage":
            damage(partial)
        elif fault == "loss":
            with closing(sqlite3.connect(partial)) as connection:
                connection.execute("DELETE FROM videos")
                connection.commit()
        else:
            with closing(sqlite3.connect(partial)) as connection:
                connection.execute("PRAGMA application_id = 7")
        return rows

    monkeypatch.setattr(backup, "_copy_pages", worse)
    with pytest.raises(BackupError, match=r"not sound|not a database of Shared Reports"):
        backup.copy(database, copies / "copy")
    assert names(copies) == set()


def test_backup_syncs_the_copy_before_it_gets_its_name(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []
    copy = tmp_path / "copy"
    real = backup._sync

    def sync(path: Path) -> None:
        synced.append((path.name, copy.exists()))
        real(path)

    monkeypatch.setattr(backup, "_sync", sync)
    backup.copy(database, copy)
    assert synced == [("copy", False), (tmp_path.name, True)]


def test_backup_shows_progress_on_a_terminal_only(database: Path, tmp_path: Path) -> None:
    output, shown = run_on_terminal("backup", tmp_path / "copy", folder=tmp_path)
    words = f"{tmp_path / 'copy'} is a sound copy of {database}: "
    assert output == f"{words}{row_counts(database)}.\n"
    assert b"Copying" in shown
    assert b"100%" in shown
    again = run("backup", tmp_path / "copy", "--force", folder=tmp_path)
    assert (again.returncode, again.stderr) == (0, "")


def test_backup_copy_restores_the_state_of_its_moment(database: Path, tmp_path: Path) -> None:
    """By the commands of docs/backup.md, after a crash that left a write-ahead log."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        add_link(connection, "A" * 16)
    backup.copy(database, tmp_path / "copy.sqlite3")
    with serving(tmp_path) as server:
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            add_link(connection, "B" * 16)
        assert get(f"{server.url}/api/shared-reports/{'B' * 16}")[0] == 200
        server.process.kill()
        server.process.wait(PATIENCE)
    restore = blocks("backup", "sh")[0].replace("shared-reports.sqlite3", database.name)
    subprocess.run(["sh", "-ec", restore], cwd=tmp_path, timeout=PATIENCE, check=True)
    assert names(tmp_path) & {f"{database.name}-wal", f"{database.name}-shm"} == set()
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    with serving(tmp_path) as server:
        assert get(f"{server.url}/api/shared-reports/{'A' * 16}")[0] == 200
        assert get(f"{server.url}/api/shared-reports/{'B' * 16}")[0] == 404
    assert run("check", folder=tmp_path).returncode == 0
