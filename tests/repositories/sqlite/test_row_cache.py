"""What a look-up has found is kept, and never for longer than it is so."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from support.access import token_for
from support.harness import Caller, Service, database_of

from service.web.app_keys import CONFIG

# What counts changes no answer, and what is on its way elsewhere is never looked up.
HARMLESS = {
    *(
        ("shared_reports", each)
        for each in (
            *("view_count", "bot_view_count", "page_view_count", "download_count"),
            *("failed_password_count", "first_viewed_at", "last_viewed_at"),
            *("counted_hour", "granted"),
        )
    ),
    *(("shared_reports", each) for each in ("request_key", "request_digest")),
    ("api_keys", "last_used_at"),
}


@pytest.fixture
def other(service: Service) -> Iterator[sqlite3.Connection]:
    """Another process on the same file."""
    with closing(
        sqlite3.connect(service.app[CONFIG].sqlite_file, isolation_level=None)
    ) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection


def generation(connection: sqlite3.Connection) -> int:
    [number] = connection.execute("SELECT number FROM cache_generation").fetchone()
    return int(number)


async def status(service: Service, share_hash: str) -> int:
    return (await service.public.get(f"/api/shared-reports/{share_hash}")).status


async def seen(service: Service, expires_at: str = "2099-01-15T10:00:00") -> str:
    """The hash of a link that has been looked at before."""
    await service.alice.put_video()
    share_hash: str = (await service.alice.share(expires_at=expires_at))["share_hash"]
    for _ in range(2):
        assert await status(service, share_hash) == 200
    return share_hash


async def test_row_cache_avoids_a_second_look_up(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    share_hash = await seen(service)
    with monkeypatch.context() as broken:
        broken.setattr("service.repositories.sqlite.link_sql.VIEW", "SELECT nothing")
        assert await status(service, share_hash) == 500

    with monkeypatch.context() as broken:
        broken.setattr(database_of(service.app).reader, "_fetch", None)
        assert await status(service, share_hash) == 200


async def test_row_cache_has_the_checked_link_of_a_kept_page(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    share_hash = await seen(service)
    limited = (await service.alice.share(max_views=9))["share_hash"]
    token = await token_for(service, limited)
    for _ in range(2):
        assert (await service.public.get(f"/r/{share_hash}")).status == 200
    monkeypatch.setattr(database_of(service.app).reader, "_fetch", None)
    assert (await service.public.get(f"/r/{share_hash}")).status == 200
    answer = await service.public.get(f"/r/{limited}", headers={"X-Share-Token": token})
    assert answer.status == 500  # it asks each time: an unlock changes no generation


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ("DELETE FROM shared_reports", 404),
        ("DELETE FROM videos", 404),
        ("UPDATE videos SET user_id = 'deleted', job_id = id", 404),
        (
            "INSERT INTO revocations (video_id, last_id) SELECT video_id, id FROM shared_reports",
            404,
        ),
        ("UPDATE shared_reports SET is_active = 0", 410),
        ("UPDATE shared_reports SET expires_at = '2025-01-15T10:00:00'", 410),
        ("UPDATE shared_reports SET not_before = '2025-01-15T10:30:00'", 404),
        ("UPDATE shared_reports SET switched_off_at = created_at", 404),
        ("UPDATE shared_reports SET max_views = 1, view_count = 1", 410),
        ("UPDATE shared_reports SET password = 'scrypt$16384$8$1$AA==$AA=='", 401),
        ("UPDATE shared_reports SET share_hash = 'BBBBBBBBBBBBBBBB'", 404),
    ],
)
async def test_row_cache_follows_each_change_of_a_link(
    service: Service, other: sqlite3.Connection, change: str, answer: int
) -> None:
    share_hash = await seen(service)
    for _ in range(2):
        assert (await service.public.get(f"/r/{share_hash}/analysis.csv")).status == 200
    other.execute(change)
    assert await status(service, share_hash) == answer
    assert (await service.public.get(f"/r/{share_hash}/analysis.csv")).status == answer


async def test_row_cache_shows_the_current_video(service: Service) -> None:
    share_hash = await seen(service)
    await service.alice.put_video(video_name="Another")
    answer = await service.public.get(f"/api/shared-reports/{share_hash}")
    assert answer.json["video"]["name"] == "Another"


async def test_row_cache_follows_the_clock_in_both_directions(service: Service) -> None:
    share_hash = await seen(service, "2025-01-15T11:00:00")
    await service.advance(3599)
    assert await status(service, share_hash) == 200
    await service.advance(1)
    assert await status(service, share_hash) == 410
    await service.advance(-1)
    assert await status(service, share_hash) == 200
    await service.advance(1)
    await service.sweep()
    await service.advance(-1)
    assert await status(service, share_hash) == 410  # what was deactivated stays so

    report = await service.alice.share(not_before="2025-01-15T11:00:00")
    await service.advance(1)
    assert await status(service, report["share_hash"]) == 200
    await service.advance(-1)
    assert await status(service, report["share_hash"]) == 404


async def test_row_cache_drops_a_deactivated_api_key(
    service: Service, other: sqlite3.Connection
) -> None:
    for _ in range(2):
        assert (await service.alice.get("/api/videos")).status == 200
    other.execute("UPDATE api_keys SET is_active = 0")
    assert (await service.alice.get("/api/videos")).status == 401


async def test_row_cache_finds_rows_created_later(service: Service) -> None:
    await service.alice.put_video()
    report = await service.alice.share()
    await service.alice.delete(f"/api/shared-reports/{report['id']}")
    assert await status(service, report["share_hash"]) == 404
    key = (await service.alice.post("/api/keys", {"name": "new"})).json
    assert (await Caller(service.client, key["raw_key"]).get("/api/videos")).status == 200


async def test_cache_generation_changes_with_every_column_but_harmless_ones(
    service: Service, other: sqlite3.Connection
) -> None:
    """A column that is added one day is among them without a word."""
    await seen(service)
    for table in ("shared_reports", "videos", "api_keys"):
        for (column,) in other.execute(f"SELECT name FROM pragma_table_info('{table}')").fetchall():
            before = generation(other)
            other.execute(f"UPDATE {table} SET {column} = {column}")
            is_over = generation(other) > before
            assert is_over is ((table, column) not in HARMLESS), (table, column)
    before = generation(other)
    other.execute("UPDATE shared_reports SET view_count = view_count + 1, last_viewed_at = '2025'")
    other.execute("UPDATE api_keys SET last_used_at = '2025'")
    assert generation(other) == before
    for table in ("shared_reports", "videos", "api_keys"):
        before = generation(other)
        other.execute(f"DELETE FROM {table}")
        assert generation(other) > before, table


async def test_views_and_creates_leave_the_generation_as_it_is(
    service: Service, other: sqlite3.Connection
) -> None:
    share_hash = await seen(service)
    before = generation(other)
    await service.alice.share()
    assert await status(service, share_hash) == 200
    assert generation(other) == before


async def test_row_cache_outlives_the_rows_of_revoked_links(
    service: Service, other: sqlite3.Connection
) -> None:
    """A revoked link is not found any more when its row is deleted."""
    share_hash = await seen(service)
    before = generation(other)
    mark = "INSERT INTO revocations (video_id, last_id) SELECT video_id, id FROM shared_reports"
    other.execute(mark)
    marked = generation(other)
    assert marked > before
    other.execute("UPDATE revocations SET last_id = last_id")
    changed = generation(other)
    assert changed > marked
    other.execute("DELETE FROM shared_reports")
    other.execute("DELETE FROM revocations")
    assert generation(other) == changed
    assert await status(service, share_hash) == 404
