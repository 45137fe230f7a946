"""The command `check`: a sound database, damage, and faults that SQLite does not report."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.files import damage, filled_database, names, row_counts
from support.process import run

from service.domain.errors import BackupError, DatabaseRefusedError
from service.repositories.sqlite.engine import backup
from service.repositories.sqlite.engine.migrate import SCHEMA

database = pytest.fixture(filled_database)


def test_check_reports_a_sound_database(database: Path, tmp_path: Path) -> None:
    result = run("check", folder=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "1 videos" in row_counts(database)
    assert result.stdout.splitlines() == [
        f"{database} is sound: its pages, its indexes and its references hold.",
        f"It holds {row_counts(database)}.",
        f"Its schema version is {SCHEMA.version}, this program's.",
    ]


def test_check_quotes_table_names(database: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute('CREATE TABLE "x"" UNION SELECT 7 --" (y)')
    result = run("check", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert '0 x" UNION SELECT 7 --' in result.stdout


def test_check_reports_damage(database: Path, tmp_path: Path) -> None:
    backup.copy(database, tmp_path / "copy")
    damage(tmp_path / "copy")
    result = run("check", tmp_path / "copy", folder=tmp_path)
    assert result.returncode == 1
    first, *faults = result.stdout.splitlines()
    assert first == f"{tmp_path / 'copy'} is damaged:"
    assert faults


DANGLING = """
INSERT INTO shared_reports (user_id, video_id, share_hash, created_at)
VALUES ('u', 7, 'a', ''), ('u', 8, 'b', '');
"""
LOST_INDEX = """
PRAGMA writable_schema = ON;
DELETE FROM sqlite_schema WHERE name = 'shared_reports_by_video';
"""


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (DANGLING, "2 rows of shared_reports refer to rows that are not in videos"),
        (LOST_INDEX, "never used"),
    ],
)
def test_check_finds_faults_that_sqlite_does_not_report(
    database: Path, tmp_path: Path, sql: str, said: str
) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(sql)
        connection.commit()
    result = run("check", folder=tmp_path)
    assert result.returncode == 1
    assert said in result.stdout
    refused = run("backup", tmp_path / "copy", folder=tmp_path)
    assert (refused.returncode, (tmp_path / "copy").exists()) == (1, False)
    assert said in refused.stderr


def test_check_reports_a_newer_or_older_schema_version(database: Path, tmp_path: Path) -> None:
    for version, code, said in [
        (SCHEMA.version + 1, 1, "of a newer release"),
        (-1, 0, f"keeps a copy and brings it to {SCHEMA.version}"),
    ]:
        with closing(sqlite3.connect(database)) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
        result = run("check", folder=tmp_path)
        assert (result.returncode, said in result.stdout) == (code, True), result.stdout


def test_check_rejects_files_that_are_not_databases_of_the_service(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("not a database" * 1000)
    with closing(sqlite3.connect(tmp_path / "other")) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    assert backup.check(tmp_path / "empty").faults == ["nothing is in it"]
    assert backup.check(tmp_path / "text").faults == ["file is not a database"]
    with pytest.raises(DatabaseRefusedError, match="not a database of Shared Reports"):
        backup.check(tmp_path / "other")
    with pytest.raises(DatabaseRefusedError, match="There is no"):
        backup.check(tmp_path / "none")
    for name, why in [("empty", "Nothing is in"), ("text", "file is not a database")]:
        with pytest.raises(BackupError, match=why):
            backup.copy(tmp_path / name, tmp_path / "copy")
    assert names(tmp_path) == {"empty", "text", "other"}
