"""Helpers of the tests that create, change, unlock and look at links."""

from itertools import product
from typing import Any

from service.web.app_keys import CONFIG
from support.database import DatabaseSetting, execute_many, fetch
from support.harness import START, Service

LIST = "/api/videos/job-1/shared-reports"


BEFORE, AFTER = "2025-01-15T09:59:59", "2025-01-15T10:00:01"


# Every public route of a link, below its two addresses.
ROUTES = [
    "/api/shared-reports/{}",
    "/api/shared-reports/{}/segments",
    "/r/{}",
    "/r/{}/analysis.json",
    "/r/{}/analysis.csv",
    "/r/{}/transcript.vtt",
    "/r/{}/transcript.srt",
    "/r/{}/qr.svg",
]


def write(service: Service, report_id: str, columns: dict[str, Any]) -> None:
    """Make a link's row what it may have become."""
    names = ", ".join(f"{name} = ?" for name in columns)
    sql = f"UPDATE shared_reports SET {names} WHERE id = ?"
    fetch(service.app[CONFIG].database, sql, *columns.values(), int(report_id))


COMBINATIONS: list[dict[str, Any]] = [
    {
        "switched_off_at": switched_off_at,
        "is_active": is_active,
        "expires_at": expires_at,
        "max_views": max_views,
        "view_count": 2,
        "not_before": not_before,
    }
    for switched_off_at, is_active, expires_at, max_views, not_before in product(
        (None, BEFORE),
        (True, False),
        (None, BEFORE, START, AFTER),
        (None, 1, 2, 3),
        (None, BEFORE, START, AFTER),
    )
]


def status_of(row: dict[str, Any]) -> str:
    """What the text of the rules says, in the words of another language."""
    if row["switched_off_at"] is not None:
        return "inactive"
    if not row["is_active"] or row["expires_at"] in {BEFORE, START}:
        return "expired"
    if row["max_views"] in {1, 2}:
        return "exhausted"
    return "scheduled" if row["not_before"] == AFTER else "active"


BECOMES: dict[str, dict[str, Any]] = {
    "active": {},
    "scheduled": {"not_before": AFTER},
    "inactive": {"switched_off_at": BEFORE},
    "expired": {"expires_at": START},
    "exhausted": {"max_views": 1, "view_count": 1},
}


async def change(service: Service, report: Any, **fields: Any) -> Any:
    """Change a link; returns the answer's JSON."""
    answer = await service.alice.patch(f"/api/shared-reports/{report['id']}", fields)
    assert answer.status == 200, answer.body
    return answer.json


def fill(database: DatabaseSetting, count: int, job_id: str = "job-1") -> list[str]:
    """Add links to a video without a service; returns their hashes."""
    hashes = [f"Filled{number:013}" for number in range(count)]
    [(user_id, video_id)] = fetch(
        database, "SELECT user_id, id FROM videos WHERE job_id = ?", job_id
    )
    execute_many(
        database,
        "INSERT INTO shared_reports (user_id, video_id, share_hash, created_at)"
        " VALUES (?, ?, ?, '2025-01-01T00:00:00')",
        [(user_id, video_id, each) for each in hashes],
    )
    return hashes


def rows_left(database: DatabaseSetting, table: str = "shared_reports") -> int:
    """The number of rows of a table."""
    [(count,)] = fetch(database, f"SELECT count(*) FROM {table}")
    return int(count)
