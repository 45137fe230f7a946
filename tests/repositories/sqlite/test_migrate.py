"""Migrations: one transaction each, with a copy first, and downgrades that are refused."""

import fcntl
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support.process import PATIENCE, await_true, get, run, serving
from support.releases import ROWS, content, first_release, shape, version_of

from service.domain.errors import BackupError, DatabaseRefusedError
from service.repositories.schema import Schema
from service.repositories.sqlite.engine import backup
from service.repositories.sqlite.engine.database import open_database
from service.repositories.sqlite.engine.file import connect
from service.repositories.sqlite.engine.migrate import SCHEMA, migrate

# Brings a file to schema version 2, in a process of its own, by the SQL of its standard input.
MIGRATE = """
import sys
from pathlib import Path
from service.repositories.sqlite.engine.file import connect
from service.repositories.sqlite.engine.migrate import migrate
from service.repositories.schema import Schema

file = Path(sys.argv[1])
schema = Schema("", {2: sys.stdin.read()})
print(connect(file, "ro").execute("PRAGMA user_version").fetchone()[0], flush=True)
migrate(file, schema)
"""
ADD = "ALTER TABLE shared_reports ADD COLUMN note TEXT;\n"
LOG = "CREATE TABLE filler (x TEXT) STRICT;\n"
FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
INSERT INTO filler SELECT hex(randomblob(500)) FROM n;
"""
# As a table has to be rebuilt in SQLite to change a constraint. It is referred to by another.
REBUILD = """
CREATE TABLE new_videos (id INTEGER PRIMARY KEY AUTOINCREMENT, user_id TEXT, job_id TEXT) STRICT;
INSERT INTO new_videos SELECT id, user_id, job_id FROM videos;
DROP TABLE videos;
ALTER TABLE new_videos RENAME TO videos;
"""


file = pytest.fixture(first_release)


def second(sql: str) -> Schema:
    """A schema of version 2, which ``sql`` leads to."""
    return Schema("", {2: sql})


def beside(file: Path, version: int) -> Path:
    return file.with_name(f"{file.name}.before-{version}")


def test_migration_makes_a_copy_first(file: Path) -> None:
    before = content(file)
    migrate(file, second(ADD))
    assert version_of(file) == 2
    assert ("note", "TEXT") in columns(file, "shared_reports")
    assert version_of(beside(file, 2)) == 1
    assert content(beside(file, 2)) == before
    assert backup.check(beside(file, 2)).faults == []
    kept = beside(file, 2).stat()
    migrate(file, second(ADD))  # there is nothing to do
    assert beside(file, 2).stat() == kept


def columns(file: Path, table: str) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("SELECT name, type FROM pragma_table_info(?)", [table]).fetchall()


def test_migration_that_rebuilds_a_table_keeps_referring_rows(file: Path) -> None:
    """With references enforced, dropping the videos would delete every link."""
    migrate(file, second(REBUILD))
    assert backup.check(file).rows == ROWS
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM videos WHERE id = 1")
        assert connection.execute("SELECT id FROM shared_reports").fetchall() == [(4,)]


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        (ADD + "DELETE FROM videos WHERE id = 1;", "leaves references to nothing in shared_report"),
        (ADD + "CREATE nonsense;", "syntax error"),
        (ADD + "CREATE nonsense", "syntax error"),  # what has no semicolon is not passed over
    ],
)
def test_migration_that_fails_leaves_the_file_unchanged(file: Path, sql: str, why: str) -> None:
    before = content(file), shape(file)
    with pytest.raises(DatabaseRefusedError, match=f"stays at schema version 1: .*{why}"):
        migrate(file, second(sql))
    assert (version_of(file), content(file), shape(file)) == (1, *before)
    migrate(file, second(ADD))
    assert version_of(file) == 2


def test_migrations_are_one_transaction_each(file: Path) -> None:
    with pytest.raises(DatabaseRefusedError, match="stays at schema version 2"):
        migrate(file, Schema("", {2: ADD, 3: "CREATE nonsense;"}))
    assert version_of(file) == 2
    assert not beside(file, 3).exists()
    migrate(file, Schema("", {2: ADD, 3: LOG}))
    assert version_of(file) == 3
    assert version_of(beside(file, 3)) == 2


def test_migration_requires_its_copy(file: Path) -> None:
    beside(file, 2).mkdir()
    with pytest.raises(BackupError, match="is a folder"):
        migrate(file, second(ADD))
    assert version_of(file) == 1


def migrating(file: Path, sql: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", MIGRATE, file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(sql)
    process.stdin.close()
    process.stdin = None  # communicate() would close it again
    return process


def test_migration_that_is_killed_starts_over(file: Path) -> None:
    before = content(file), shape(file)
    log = file.with_name(f"{file.name}-wal")
    process = migrating(file, ADD + LOG + FILL.format(rows=1_000_000))
    try:
        # Its pages have begun to go to the log: it is between its first statement and its last.
        await_true(lambda: log.exists() and log.stat().st_size > 2**20, "the log grows")
        assert process.poll() is None, process.communicate()
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)
    assert log.stat().st_size > 2**20
    left = file.with_name(f"{beside(file, 2).name}.abc.partial")
    left.mkdir()  # as one leaves that is killed while it copies
    assert (version_of(file), content(file), shape(file)) == (1, *before)
    again = migrating(file, ADD + LOG + FILL.format(rows=1))
    assert again.communicate(timeout=PATIENCE)[1] == ""
    assert version_of(file) == 2
    assert backup.check(file).rows == ROWS | {"filler": 1}
    assert content(beside(file, 2)) == before[0]
    assert not left.exists()


def test_migrations_at_once_wait_for_each_other(file: Path) -> None:
    """Both have seen the earlier version, and neither may begin, before the lock is let go."""
    with file.with_name(f"{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        processes = [migrating(file, ADD + LOG + FILL.format(rows=10_000)) for _ in range(2)]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "1\n"
    errors = [process.communicate(timeout=PATIENCE)[1] for process in processes]
    assert errors == ["", ""]
    assert version_of(file) == 2
    assert backup.check(file).rows == ROWS | {"filler": 10_000}


def test_migration_of_a_served_file_is_refused(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its service would fail on the new schema; and two processes would checkpoint."""
    monkeypatch.setattr("service.repositories.sqlite.engine.migrate.BUSY_MS", 100)
    with serving(tmp_path) as server:
        before = version_of(file)
        newer = Schema("", {2: ADD, SCHEMA.version + 1: LOG})
        with pytest.raises(DatabaseRefusedError, match="is serving or migrating it: stop that"):
            migrate(file, newer)
        assert version_of(file) == before
        assert get(f"{server.url}/api/shared-reports/ForEver000000001")[0] == 200
        server.stop()
    migrate(file, newer)
    assert version_of(file) == SCHEMA.version + 1


@pytest.mark.parametrize("command", [["serve"], ["keys", "list"], ["sweep"]])
def test_downgrade_is_refused_with_one_sentence(
    file: Path, tmp_path: Path, command: list[str]
) -> None:
    migrate(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA.version + 1}")
    before = file.read_bytes()
    result = run(*command, folder=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        f"shared-reports: {file} has schema version {SCHEMA.version + 1}, and this program knows "
        f"none after {SCHEMA.version}: a newer release has used it. Start that release instead.\n"
    )
    assert file.read_bytes() == before


async def test_database_whose_migration_fails_is_not_opened(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "service.repositories.sqlite.engine.database.migrate",
        lambda file, creates: migrate(file, second("nonsense;"), creates=creates),
    )
    with pytest.raises(DatabaseRefusedError, match="stays at schema version 1"):
        async with open_database(file, serves=True):
            pass


def test_migration_does_not_checkpoint(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as service:
        assert service.execute("SELECT count(*) FROM videos").fetchone() == (2,)
        size = file.stat().st_size
        migrate(file, second(LOG + FILL.format(rows=10_000)))
        assert service.execute("SELECT count(*) FROM filler").fetchone() == (10_000,)
        assert file.stat().st_size == size
    with closing(connect(file, "ro")) as connection:
        assert connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
