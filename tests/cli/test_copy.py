"""``copy`` as a command: what it prints, and what it refuses in one line."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.database import contents, database_in, fetch
from support.process import create_database, run_in_process, run_on_terminal

from service.repositories.sqlite.engine.lock import serve_lock
from service.repositories.sqlite.engine.migrate import SCHEMA

pytestmark = pytest.mark.engine("postgresql")


@pytest.fixture
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with one key."""
    folder = tmp_path_factory.mktemp("source")
    create_database(folder)
    return folder / "test.sqlite3"


def refused(folder: Path, source: Path | str) -> str:
    """The one line with which a copy is refused."""
    done = run_in_process("copy", source, folder=folder)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    return line


def set_version(file: Path, version: int) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")


def test_copy_says_what_it_has_copied(folder: Path, file: Path) -> None:
    done = run_in_process("copy", file, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("postgresql://")
    assert done.stdout.endswith(
        " is a complete copy: 0 signing_key, 1 api_keys, 0 videos, 0 shared_reports, "
        "0 revocations, 0 idempotency_keys, 0 events, 0 event_views, 0 event_subscriptions, "
        "0 webhooks, 0 webhook_deliveries.\n"
    )
    assert "api_keys" in refused(folder, file)


def test_copy_shows_its_progress_on_a_terminal(folder: Path, file: Path) -> None:
    _, shown = run_on_terminal("copy", file, folder=folder)
    assert b"Copying" in shown
    assert b"Checking" in shown
    assert b"100%" in shown


@pytest.mark.parametrize("table", ["api_keys", "signing_key"])
def test_copy_to_a_database_with_content_is_refused(folder: Path, file: Path, table: str) -> None:
    target = database_in(folder)
    if table == "api_keys":
        create_database(folder)
    else:
        fetch(target, "INSERT INTO signing_key VALUES (1, ?)", bytes(32))
    before = contents(target)
    assert f"is not empty: there are rows of {table}." in refused(folder, file)
    assert contents(target) == before


def test_copy_of_a_file_that_is_served_is_refused(folder: Path, file: Path) -> None:
    with serve_lock(file, ""):
        assert f"{file} is being served by another process: stop" in refused(folder, file)
    assert run_in_process("copy", file, folder=folder).returncode == 0


def test_copy_of_another_schema_version_is_refused(folder: Path, file: Path) -> None:
    set_version(file, SCHEMA.version - 1)
    assert f"this program copies {SCHEMA.version}: run SHARED_REPORTS_DATABASE=" in refused(
        folder, file
    )
    set_version(file, SCHEMA.version + 1)
    assert "Start that release instead" in refused(folder, file)


def test_copy_of_what_is_no_database_of_ours_is_refused(folder: Path, tmp_path: Path) -> None:
    missing, empty, foreign = (tmp_path / name for name in ("missing", "empty", "foreign"))
    assert refused(folder, missing).endswith(f"There is no {missing}.")
    assert not missing.exists()
    empty.touch()
    assert refused(folder, empty).endswith(f"There is nothing in {empty}.")
    foreign.write_text("x" * 5_000)
    assert f"{foreign}: file is not a database" in refused(folder, foreign)


def test_copy_takes_no_password_as_an_argument(folder: Path) -> None:
    line = refused(folder, "postgresql://u:hunter2@localhost/x")
    assert "put it into PGPASSWORD or into ~/.pgpass" in line
    assert "hunter2" not in line


def test_copy_to_a_file_is_refused(file: Path, tmp_path: Path) -> None:
    assert "is an SQLite file, and a copy goes to PostgreSQL" in refused(tmp_path, file)
