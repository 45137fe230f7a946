"""The released migrations: a file of each earlier release gets the current schema."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.harness import Caller, Start, is_problem
from support.idempotency import create
from support.releases import ROWS, content, first_release, make_file, shape, version_of

from service.config import Config
from service.repositories.sqlite.engine import backup
from service.repositories.sqlite.engine.migrate import SCHEMA, migrate

file = pytest.fixture(first_release)


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


def test_migration_sums_the_views_and_the_usage_that_are_stored(tmp_path: Path) -> None:
    """And knows of no link when it was first viewed, if that was before."""
    file = make_file(tmp_path / "test.sqlite3", 6)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            "UPDATE shared_reports SET view_count = id, last_viewed_at = '2025-01-15T10:00:0' || id"
        )
        connection.execute("UPDATE shared_reports SET bot_view_count = 2")
    migrate(file)
    with closing(sqlite3.connect(file)) as connection:
        links = connection.execute("SELECT * FROM video_views ORDER BY video_id").fetchall()
        expected = connection.execute(
            "SELECT video_id, sum(id), 2 * count(*), 0, NULL, max(last_viewed_at)"
            " FROM shared_reports GROUP BY video_id ORDER BY video_id"
        ).fetchall()
        assert links == expected != []
        usage = connection.execute("SELECT * FROM user_usage ORDER BY user_id").fetchall()
        expected = connection.execute(
            "SELECT user_id, (SELECT count(*) FROM shared_reports WHERE inactive_since IS NULL"
            " AND user_id = videos.user_id), count(*), sum(length(CAST(segments AS BLOB)))"
            " FROM videos GROUP BY user_id ORDER BY user_id"
        ).fetchall()
        assert usage == expected != []


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
