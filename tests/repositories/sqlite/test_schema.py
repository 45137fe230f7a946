"""The schema: who creates it, and what its constraints accept."""

import sqlite3
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from service.repositories.schema import Schema
from service.repositories.sqlite.engine.migrate import SCHEMA, migrate


def test_schema_tables_are_strict(tmp_path: Path) -> None:
    migrate(tmp_path / "x.sqlite3")
    with closing(sqlite3.connect(tmp_path / "x.sqlite3")) as connection:
        tables = connection.execute(
            "SELECT name, strict FROM pragma_table_list"
            " WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite%'"
        ).fetchall()
    names = (
        "analyses analysis_parts api_keys cache_generation event_subscriptions event_views events"
        " idempotency_keys purged_links revocations shared_reports signing_key videos"
        " webhook_deliveries webhooks"
    )
    assert sorted(tables) == [(table, 1) for table in names.split()]


def test_schema_is_created_once_with_its_version(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite3"
    migrate(file)
    before = file.read_bytes()
    migrate(file)
    assert file.read_bytes() == before
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA.version,)


def test_schema_is_created_once_by_concurrent_starts(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite3"
    errors: list[BaseException] = []

    def start() -> None:
        try:
            migrate(file)
        except BaseException as error:  # noqa: BLE001 - told to the test
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_schema_creation_that_fails_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite3"
    with pytest.raises(sqlite3.OperationalError):
        migrate(file, Schema("CREATE TABLE a (b);\nCREATE nonsense;\n", {}))
    migrate(file)


VIDEO = {
    "user_id": "u",
    "job_id": "j",
    "name": "x",
    "status": "completed",
    "selected_insights": "[]",
    "public_fields_json": '"job_id":"j"',
    "duration": None,
    "file_size": None,
    "processing_time": None,
    "created_at": "2025-01-15T10:00:00",
    "updated_at": "2025-01-15T10:00:00",
}
LINK = {
    "user_id": "u",
    "video_id": 1,
    "share_hash": "A" * 16,
    "is_active": 1,
    "created_at": "2025-01-15T10:00:00",
}
KEY = {
    "user_id": "u",
    "name": "x",
    "key_prefix": "lvz_live_abcdef…",
    "digest": "0" * 64,
    "is_active": 1,
    "created_at": "2025-01-15T10:00:00",
}


@pytest.mark.parametrize(
    ("table", "row", "wrong"),
    [
        ("videos", VIDEO, {"user_id": ""}),
        ("videos", VIDEO, {"user_id": None}),
        ("videos", VIDEO, {"job_id": ""}),
        ("videos", VIDEO, {"job_id": "x" * 201}),
        ("videos", VIDEO, {"status": "done"}),
        ("videos", VIDEO, {"duration": -0.1}),
        ("videos", VIDEO, {"duration": "long"}),
        ("videos", VIDEO, {"file_size": -1}),
        ("videos", VIDEO, {"processing_time": -1}),
        ("shared_reports", LINK, {"video_id": 2}),
        ("shared_reports", LINK, {"is_active": 2}),
        ("shared_reports", LINK, {"share_hash": None}),
        ("shared_reports", LINK, {"max_views": 0}),
        ("shared_reports", LINK, {"password": "as it was typed"}),
        ("shared_reports", LINK, {"share_hash": 'A"'}),
        ("api_keys", KEY, {"user_id": ""}),
        ("api_keys", KEY, {"is_active": 2}),
        ("api_keys", KEY, {"digest": "0" * 63}),
    ],
)
def test_schema_constraints_accept_valid_rows_only(
    tmp_path: Path, table: str, row: dict[str, object], wrong: dict[str, object]
) -> None:
    file = tmp_path / "x.sqlite3"
    migrate(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")

        def insert(table: str, row: Mapping[str, object]) -> None:
            names = ", ".join(f":{name}" for name in row)
            connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({names})", row)

        if table == "shared_reports":
            insert("videos", VIDEO)
        with pytest.raises(sqlite3.IntegrityError):
            insert(table, row | wrong)
        insert(table, row)
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            insert(table, row)


def test_schema_deletes_links_with_their_video(tmp_path: Path) -> None:
    migrate(tmp_path / "x.sqlite3")
    with closing(sqlite3.connect(tmp_path / "x.sqlite3")) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        for table, row in (("videos", VIDEO), ("shared_reports", LINK)):
            names = ", ".join(f":{name}" for name in row)
            connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({names})", row)
        connection.execute("DELETE FROM videos")
        assert connection.execute("SELECT count(*) FROM shared_reports").fetchone() == (0,)
