"""The file: its schema, whose it is, its version, and how its connections are set."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from harness import Service

from service.context import DATABASE
from service.database import SCHEMA_VERSION, check_writable, open_database, prepare
from service.errors import DatabaseRefusedError, UnavailableError
from service.lane import Lane


async def pragma(lane: Lane, name: str) -> object:
    return (await lane.fetch(f"PRAGMA {name}"))[0][0]


async def test_every_connection_has_its_pragmas(tmp_path: Path) -> None:
    async with open_database(tmp_path / "x.sqlite3", checkpoints=True) as database:
        for lane in (database.reader, database.scanner, database.writer):
            assert await pragma(lane, "journal_mode") == "wal"
            assert await pragma(lane, "synchronous") == 2
            assert await pragma(lane, "foreign_keys") == 1
            assert await pragma(lane, "busy_timeout") == 5000
            assert await pragma(lane, "trusted_schema") == 0
            assert await pragma(lane, "journal_size_limit") == 64 * 2**20
        assert await pragma(database.writer, "wal_autocheckpoint") == 1000


async def test_only_the_service_checkpoints(tmp_path: Path) -> None:
    async with open_database(tmp_path / "x.sqlite3", checkpoints=False) as database:
        assert await pragma(database.writer, "wal_autocheckpoint") == 0


async def test_the_reader_can_not_write(tmp_path: Path) -> None:
    async with open_database(tmp_path / "x.sqlite3", checkpoints=True) as database:
        for lane in (database.reader, database.scanner):
            with pytest.raises(UnavailableError):
                await lane.fetch("DELETE FROM videos RETURNING id")


async def test_no_thread_outlives_an_open_database(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    async with open_database(tmp_path / "x.sqlite3", checkpoints=True):
        ours = set(threading.enumerate()) - before
        assert len(ours) == 3
    for thread in ours:
        thread.join(5)  # the last thing it does is to tell us that it is done
        assert not thread.is_alive()


def test_every_table_is_strict(tmp_path: Path) -> None:
    prepare(tmp_path / "x.sqlite3")
    with closing(sqlite3.connect(tmp_path / "x.sqlite3")) as connection:
        tables = connection.execute(
            "SELECT name, strict FROM pragma_table_list"
            " WHERE schema = 'main' AND name NOT LIKE 'sqlite%'"
        ).fetchall()
    assert sorted(tables) == [("api_keys", 1), ("shared_reports", 1), ("videos", 1)]


def test_the_schema_is_made_once_and_its_version_with_it(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite3"
    prepare(file)
    before = file.read_bytes()
    prepare(file)
    assert file.read_bytes() == before
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_many_that_start_at_once_make_one_schema(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite3"
    errors: list[BaseException] = []

    def start() -> None:
        try:
            prepare(file)
        except BaseException as error:  # noqa: BLE001 - told to the test
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


async def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite3"
    prepare(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = file.read_bytes()
    with pytest.raises(DatabaseRefusedError, match="newer release"):
        async with open_database(file, checkpoints=True):
            pass
    assert file.read_bytes() == before


async def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite3"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.commit()
    before = file.read_bytes()
    with pytest.raises(DatabaseRefusedError, match="not a database of Shared Reports"):
        async with open_database(file, checkpoints=True):
            pass
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database, but long enough to look like one" * 100])
async def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.sqlite3"
    file.write_bytes(content)
    with pytest.raises(DatabaseRefusedError, match=r"x\.sqlite3: file is not a database"):
        async with open_database(file, checkpoints=True):
            pass
    assert file.read_bytes() == content


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseRefusedError, match="unable to open"):
        async with open_database(tmp_path / "none" / "x.sqlite3", checkpoints=True):
            pass


def test_a_schema_that_fails_half_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.sqlite3"
    monkeypatch.setattr(
        "service.database._schema", lambda: "CREATE TABLE a (b);\nCREATE nonsense;\n"
    )
    with pytest.raises(sqlite3.OperationalError):
        prepare(file)
    monkeypatch.undo()
    prepare(file)


async def test_a_write_lock_held_elsewhere_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite3"
    async with open_database(file, checkpoints=True) as database:
        await database.writer.fetch("PRAGMA busy_timeout = 1")
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(UnavailableError):
                await check_writable(database)
            other.execute("ROLLBACK")
        await check_writable(database)


async def test_the_service_itself_checkpoints(service: Service) -> None:
    assert await pragma(service.app[DATABASE].writer, "wal_autocheckpoint") == 1000
