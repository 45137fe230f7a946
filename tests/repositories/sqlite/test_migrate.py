"""Files of earlier and later releases: migrated with all they hold, or refused and left alone."""

import fcntl
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support.harness import Caller, Start, is_problem
from support.idempotency import create
from support.process import PATIENCE, await_true, get, run, serving

from service.config import Config
from service.domain.errors import BackupError, DatabaseRefusedError
from service.repositories.sqlite.engine import backup
from service.repositories.sqlite.engine.database import open_database
from service.repositories.sqlite.engine.file import APPLICATION_ID, connect
from service.repositories.sqlite.engine.migrate import SCHEMA, Schema, migrate

DATA = Path(__file__).parents[2] / "data"
ROWS = {"api_keys": 2, "shared_reports": 4, "videos": 2}

# Brings a file to schema version 2, in a process of its own, by the SQL of its standard input.
MIGRATE = """
import sys
from pathlib import Path
from service.repositories.sqlite.engine.file import connect
from service.repositories.sqlite.engine.migrate import Schema, migrate

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


RELEASED = 2
"""The newest schema version that tests/data holds; later ones are made by their migrations."""


def make_file(path: Path, version: int) -> Path:
    """Make a database as a release with this schema version has made and filled it."""
    if version > RELEASED:
        make_file(path, RELEASED)
        upto = {number: sql for number, sql in SCHEMA.migrations.items() if number <= version}
        migrate(path, Schema("", upto))
        return path
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript((DATA / f"schema-{version}.sql").read_text())
        for number in range(1, version + 1):
            connection.executescript((DATA / f"rows-{number}.sql").read_text())
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.commit()
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database as the first release has made and filled it."""
    return make_file(tmp_path / "test.sqlite3", 1)


def second(sql: str) -> Schema:
    """A schema of version 2, which ``sql`` leads to."""
    return Schema("", {2: sql})


def beside(file: Path, version: int) -> Path:
    return file.with_name(f"{file.name}.before-{version}")


def version_of(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def shape(file: Path) -> dict[tuple[str, str], str]:
    """The SQL of all that is in a schema, without comments, spaces and quotes."""
    with closing(sqlite3.connect(file)) as connection:
        return {
            (kind, name): re.sub(r"--.*|\s|\"", "", sql)
            for kind, name, sql in connection.execute(
                "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL"
            )
        }


def content(file: Path) -> dict[str, list[dict[str, object]]]:
    """All rows of the tables of version 1, and the ids that each table has used up."""
    with closing(sqlite3.connect(file)) as connection:
        connection.row_factory = sqlite3.Row
        return {
            table: [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1")]
            for table in (*ROWS, "sqlite_sequence")
        }


def holds(after: list[dict[str, object]], before: list[dict[str, object]]) -> bool:
    """Whether all that was in the rows before still is in them; columns may have been added."""
    return len(after) == len(before) and all(
        row | old == row for row, old in zip(after, before, strict=True)
    )


RENAMED = {
    "shown": "public_fields_json",
    "public": "public_json",
    "limited_at": "max_views_changed_at",
    "opened": "granted",
    "dead_since": "inactive_since",
    "request": "request_digest",
}


@pytest.mark.parametrize("version", range(1, SCHEMA.version))
def test_migrated_file_has_the_current_schema_and_all_its_rows(
    version: int, tmp_path: Path
) -> None:
    file = make_file(tmp_path / "test.sqlite3", version)
    before = {
        table: [{RENAMED.get(name, name): value for name, value in row.items()} for row in rows]
        for table, rows in content(file).items()
    }
    assert {table: len(before[table]) for table in ROWS} == ROWS | {
        "shared_reports": len(before["shared_reports"])
    }
    migrate(file)
    migrate(tmp_path / "fresh.sqlite3")
    assert shape(file) == shape(tmp_path / "fresh.sqlite3")
    after = content(file)
    assert all(holds(after[table], before[table]) for table in before), after
    assert backup.check(file).faults == []
    assert version_of(file) == SCHEMA.version


def test_migrations_are_numbered_without_a_gap() -> None:
    assert sorted(SCHEMA.migrations) == list(range(2, SCHEMA.version + 1))


async def test_migrated_file_is_served(file: Path, config: Config, start: Start) -> None:
    assert config.sqlite_file == file
    service = await start()
    for share_hash, status in [
        ("ForEver000000001", 200),
        ("TillLater0000002", 200),
        ("Expired000000003", 410),
        ("NotYetSwept00004", 410),
        ("Revoked000000009", 404),
    ]:
        answer = await service.public.get(f"/api/shared-reports/{share_hash}")
        assert answer.status == status, share_hash
    video = (await service.public.get("/api/shared-reports/ForEver000000001")).json["video"]
    assert (video["name"], video["duration"]) == ("Straße.mp4", 120.5)
    owner = Caller(service.client, f"lvz_live_{'0' * 64}")
    listed = (await owner.get("/api/videos/job-1/shared-reports")).json
    assert [each["id"] for each in listed] == ["3", "2", "1"]
    assert (await owner.share())["id"] == "10"  # 9 was deleted, and is not used again
    other = Caller(service.client, f"lvz_live_{'1' * 64}")
    assert (await other.get("/api/videos")).status == 401  # it was switched off


async def test_migration_3_keeps_of_creations_what_a_replay_needs(
    config: Config, start: Start
) -> None:
    """Labels and password digests go; a call made before the upgrade can be made again after."""
    file = make_file(config.sqlite_file, 2)
    service = await start()
    with closing(sqlite3.connect(file)) as connection:
        [row] = connection.execute("SELECT * FROM idempotency_keys").fetchall()
        [[number]] = connection.execute("SELECT number FROM cache_generation").fetchall()
    assert "canary-label" not in str(row)
    assert number >= 41  # a cached row of before must not seem to be of now
    owner = Caller(service.client, f"lvz_live_{'0' * 64}")
    body = {"video_id": "job-1", "label": "canary-label"}
    answer = await create(owner, "k", body)
    assert answer.headers["Idempotency-Replayed"] == "true"
    assert (answer.json["id"], answer.json["share_hash"]) == ("12", "Repeatable000012")
    assert (answer.json["label"], answer.json["note"]) == ("canary-label", None)
    assert is_problem(await create(owner, "k", body | {"note": "x"}), 422, "invalid-request")


async def test_migration_5_makes_filters_find_what_is_stored(config: Config, start: Start) -> None:
    """Labels and projects of before are in the form of the filters; what would grow too long stays.

    Links that were there have no views by bots.
    """
    file = make_file(config.sqlite_file, 4)
    decomposed, grows = "u\u0308ber", "\u0344" * 150
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE shared_reports SET label = ? WHERE id = 10", [decomposed])
        connection.execute("UPDATE shared_reports SET label = ? WHERE id = 11", [grows])
        connection.execute("UPDATE videos SET project_id = ? WHERE id = 1", [decomposed])
    service = await start()
    owner = Caller(service.client, f"lvz_live_{'0' * 64}")
    for form in (decomposed, "\u00fcber"):
        [report] = (await owner.get("/api/shared-reports", params={"label": form})).json
        assert (report["id"], report["label"], report["bot_view_count"]) == ("10", "\u00fcber", 0)
        [video] = (await owner.get("/api/videos", params={"project_id": form})).json
        assert (video["id"], video["project_id"]) == ("1", "\u00fcber")
    with closing(sqlite3.connect(file)) as connection:
        labels = connection.execute("SELECT label FROM shared_reports WHERE id = 11").fetchall()
    assert labels == [(grows,)]


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
