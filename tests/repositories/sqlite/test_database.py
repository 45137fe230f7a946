"""The connections: their settings, the files they reject, and the plans of their statements."""

import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from support.harness import Service, Start, database_of

from service.config import Config
from service.domain.errors import DatabaseRefusedError, UnavailableError
from service.repositories.sqlite import (
    access,
    analyses,
    api_keys,
    link_counts,
    link_lists,
    link_sql,
    retention,
    revocations,
    videos,
)
from service.repositories.sqlite.engine.database import CHECKPOINT_PAGES, open_database
from service.repositories.sqlite.engine.health import check_writable
from service.repositories.sqlite.engine.migrate import SCHEMA, migrate
from service.repositories.sqlite.engine.read_connection import ReadConnection
from service.repositories.sqlite.engine.statements import Row
from service.repositories.sqlite.engine.worker import ConnectionWorker


async def fetch(way: ConnectionWorker | ReadConnection, sql: str) -> list[Row]:
    return way.fetch_all(sql) if isinstance(way, ReadConnection) else await way.fetch_all(sql)


async def pragma(way: ConnectionWorker | ReadConnection, name: str) -> object:
    return (await fetch(way, f"PRAGMA {name}"))[0][0]


async def test_connections_have_their_pragmas(tmp_path: Path) -> None:
    async with open_database(tmp_path / "x.sqlite3", serves=True) as database:
        for way in (database.reader, database.read_worker, database.writer):
            assert await pragma(way, "journal_mode") == "wal"
            assert await pragma(way, "synchronous") == 2
            assert await pragma(way, "foreign_keys") == 1
            busy = 20 if way is database.reader else 5000
            assert await pragma(way, "busy_timeout") == busy
            assert await pragma(way, "trusted_schema") == 0
            assert await pragma(way, "journal_size_limit") == 64 * 2**20
        assert await pragma(database.writer, "wal_autocheckpoint") == CHECKPOINT_PAGES


async def test_connections_overwrite_deleted_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if SQLite is compiled to leave it in the file."""
    connect = aiosqlite.connect

    async def connect_as_compiled(*args: Any, **options: Any) -> aiosqlite.Connection:
        connection = await connect(*args, **options)
        await connection.execute("PRAGMA secure_delete = OFF")
        return connection

    monkeypatch.setattr(aiosqlite, "connect", connect_as_compiled)
    async with open_database(tmp_path / "x.sqlite3", serves=True) as database:
        assert await pragma(database.writer, "secure_delete") == 1


@pytest.mark.parametrize(("serves", "checkpoints"), [(False, True), (True, False)])
async def test_checkpoints_are_off_unless_the_service_makes_them(
    tmp_path: Path,
    serves: bool,  # noqa: FBT001 - a column of the table
    checkpoints: bool,  # noqa: FBT001 - the same
) -> None:
    file = tmp_path / "x.sqlite3"
    migrate(file)
    async with open_database(file, serves=serves, checkpoints=checkpoints) as database:
        assert await pragma(database.writer, "wal_autocheckpoint") == 0


async def test_reader_rejects_writes(tmp_path: Path) -> None:
    async with open_database(tmp_path / "x.sqlite3", serves=True) as database:
        for way in (database.reader, database.read_worker):
            with pytest.raises(UnavailableError):
                await fetch(way, "DELETE FROM videos RETURNING id")


async def test_database_leaves_no_thread_after_it_closes(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    async with open_database(tmp_path / "x.sqlite3", serves=True):
        ours = set(threading.enumerate()) - before
        assert len(ours) == 2
    for thread in ours:
        thread.join(5)  # the last thing it does is to tell us that it is done
        assert not thread.is_alive()


async def test_database_of_a_newer_release_is_rejected_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite3"
    migrate(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA.version + 1}")
    before = file.read_bytes()
    with pytest.raises(DatabaseRefusedError, match="newer release"):
        async with open_database(file, serves=True):
            pass
    assert file.read_bytes() == before


async def test_database_of_another_program_is_rejected_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite3"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.commit()
    before = file.read_bytes()
    with pytest.raises(DatabaseRefusedError, match="not a database of Shared Reports"):
        async with open_database(file, serves=True):
            pass
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database, but long enough to look like one" * 100])
async def test_database_file_of_another_format_is_rejected_unchanged(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "x.sqlite3"
    file.write_bytes(content)
    with pytest.raises(DatabaseRefusedError, match=r"x\.sqlite3: file is not a database"):
        async with open_database(file, serves=True):
            pass
    assert file.read_bytes() == content


async def test_database_in_a_missing_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(DatabaseRefusedError, match="unable to open"):
        async with open_database(tmp_path / "none" / "x.sqlite3", serves=True):
            pass


async def test_check_writable_fails_while_another_holds_the_write_lock(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite3"
    async with open_database(file, serves=True) as database:
        await database.writer.fetch_all("PRAGMA busy_timeout = 1")
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(UnavailableError):
                await check_writable(database)
            other.execute("ROLLBACK")
        await check_writable(database)


async def test_service_checkpoints_unless_litestream_does(
    service: Service, start: Start, tmp_path: Path
) -> None:
    assert await pragma(database_of(service.app).writer, "wal_autocheckpoint") == CHECKPOINT_PAGES
    beside = await start(Config(database=tmp_path / "other.sqlite3", checkpointer="litestream"))
    assert await pragma(database_of(beside.app).writer, "wal_autocheckpoint") == 0


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        (link_sql.NEXT_EXPIRY, "shared_reports_by_expiry"),
        (link_sql.SWEEP, "shared_reports_by_expiry"),
        (link_sql.COUNT_EXPIRED, "shared_reports_by_expiry"),
        (link_lists._OF_USER.rows, "shared_reports_by_user (user_id=? AND id>? AND id<?)"),
        (link_lists._OF_VIDEO.rows, "shared_reports_by_video (video_id=? AND id>? AND id<?)"),
        (link_lists._OF_USER.look_ahead, "COVERING INDEX shared_reports_by_user"),
        (
            link_lists._OF_VIDEO.look_ahead,
            "COVERING INDEX shared_reports_by_video (video_id=? AND id<?)",
        ),
        (link_lists._FIND_VIDEO, "(user_id=? AND job_id=?)"),
        (link_lists._GET, "INTEGER PRIMARY KEY"),
        (retention._PURGE, "shared_reports_by_inactivity (inactive_since<?)"),
        (retention._PURGE, "shared_reports_by_expiry (expires_at<?)"),
        (retention._COUNT, "shared_reports_by_inactivity (inactive_since<?)"),
        (retention._COUNT, "shared_reports_by_expiry (expires_at<?)"),
        (link_sql.REVOKE.render(4), "theirs USING INTEGER PRIMARY KEY (rowid=?)"),
        (link_sql.REVOKE.render(4), "shared_reports USING INTEGER PRIMARY KEY (rowid=?)"),
        (link_sql.REVOKE.render(4), "revocations USING INTEGER PRIMARY KEY (rowid=?)"),
        (revocations._REVOKE, "videos USING COVERING INDEX sqlite_autoindex_videos_1"),
        (revocations._REVOKE, "SEARCH shared_reports USING COVERING INDEX shared_reports_by_video"),
        (revocations._HAS_VIDEO, "(user_id=? AND job_id=?)"),
        (revocations._COUNT, "shared_reports_by_video (video_id=? AND id>? AND id<?)"),
        (revocations._DELETE_LINKS, "shared_reports_by_video (video_id=? AND id<?)"),
        (revocations._DELETE_KEYS, "COVERING INDEX idempotency_keys_by_video (video_id=?)"),
        (revocations._DELETE_REVOCATIONS, "shared_reports_by_video (video_id=? AND id<?)"),
        (link_counts._COUNT, "SEARCH shared_reports USING INTEGER PRIMARY KEY (rowid>?)"),
        (link_counts._OVERDUE, "shared_reports_by_expiry (expires_at<?)"),
        (api_keys._LIST, "api_keys_by_user"),
        (api_keys._FIND, "(digest=?)"),
        (link_sql.VIEW, "(share_hash=?)"),
        (link_sql.VIEW, "revocations USING INTEGER PRIMARY KEY (rowid=?)"),
        (access._CHECK, "(share_hash=?)"),
        (access._VIEW, "(share_hash=?)"),
        (access._UNLOCK.render(4), "(share_hash=?)"),
        (link_sql.HAS_SHARE_HASH, "(share_hash=?)"),
        (link_sql.VIEW_WITH_ANALYSIS, "(share_hash=?)"),
        (link_sql.CREATE.render(4), "(user_id=? AND job_id=?)"),
        (
            link_sql.CREATE.render(4),
            "idempotency_keys USING PRIMARY KEY (user_id=? AND key=?)",
        ),
        (link_sql.FIND_CREATION, "idempotency_keys USING PRIMARY KEY (user_id=? AND key=?)"),
        (link_sql.DELETE_OLD_KEYS, "idempotency_keys_by_age"),
        (videos._LIST.rows, "videos_by_user (user_id=? AND id>? AND id<?)"),
        (videos._LIST.look_ahead, "COVERING INDEX videos_by_user (user_id=? AND id<?)"),
        (videos._GET, "(user_id=? AND job_id=?)"),
        (analyses._READ_PARTS, "(analysis_id=? AND number>? AND number<?)"),
        (analyses._HAS_UNUSED, "COVERING INDEX analyses_unused (delete_after<?)"),
        (analyses._DELETE_PARTS, "COVERING INDEX analyses_unused (delete_after<?)"),
        (analyses._DELETE_PARTS, "sqlite_autoindex_analysis_parts_1 (analysis_id=?)"),
        (analyses._DELETE_UNUSED, "COVERING INDEX analyses_unused (delete_after<?)"),
        (analyses._DELETE_UNUSED, "sqlite_autoindex_analysis_parts_1 (analysis_id=?)"),
    ],
)
def test_statements_use_an_index_and_scan_no_table(tmp_path: Path, sql: str, index: str) -> None:
    migrate(tmp_path / "x.sqlite3")
    with closing(sqlite3.connect(tmp_path / "x.sqlite3")) as connection:
        parameters = dict.fromkeys(re.findall(r":(\w+)", sql)) or [None] * sql.count("?")
        steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]
    assert any(index in step for step in steps), steps
    assert not [step for step in steps if "TEMP B-TREE" in step]  # all of it, to show a page
    assert not [step for step in steps if step in FULL_SCANS]


FULL_SCANS = {
    f"SCAN {table}"
    for table in (
        "videos",
        "shared_reports",
        "api_keys",
        "idempotency_keys",
        "analyses",
        "analysis_parts",
    )
}


async def test_database_without_wal_mode_is_set_back_to_wal(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite3"
    migrate(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    async with open_database(file, serves=True) as database:
        assert await pragma(database.writer, "journal_mode") == "wal"
