"""A process that is killed while views are being written: what is stored agrees to the count."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.cli import USER
from support.database import database_in, fetch
from support.process import get, new_key, request, serving

LINKS = 12
KILLS = 3

# What each link's row counts, and its statistics; what all rows count, and the video's statistics.
_LINKS = """
    SELECT view_count, bot_view_count, page_view_count, download_count,
           (SELECT sum(api + pages) FROM view_statistics WHERE report_id = shared_reports.id),
           (SELECT sum(bots) FROM view_statistics WHERE report_id = shared_reports.id),
           (SELECT sum(pages) FROM view_statistics WHERE report_id = shared_reports.id),
           (SELECT sum(downloads) FROM view_statistics WHERE report_id = shared_reports.id)
      FROM shared_reports WHERE view_count > 0"""
_VIDEO = """
    SELECT sum(view_count), sum(bot_view_count), sum(failed_password_count),
           (SELECT sum(api + pages) FROM view_statistics WHERE report_id = 0),
           (SELECT sum(bots) FROM view_statistics WHERE report_id = 0),
           (SELECT sum(failed_password_count) FROM video_views),
           (SELECT sum(view_count) FROM video_views),
           (SELECT sum(bot_view_count) FROM video_views)
      FROM shared_reports"""


@pytest.mark.timeout(120)
def test_statistics_agree_with_the_links_after_kills(folder: Path) -> None:
    key = new_key(folder, USER)
    made: list[str] = []
    for _ in range(KILLS):
        with serving(folder, LOOKUP_RATE_LIMIT="off") as server:
            if not made:
                export = {"name": "x", "status": "completed"}
                request("PUT", f"{server.url}/api/videos/job-1", export, Authorization=key)
                for number in range(LINKS):
                    limit = {"max_views": 10**6} if number % 3 == 0 else {}
                    body = {"video_id": "job-1"} | limit
                    url = f"{server.url}/api/shared-reports"
                    answer = request("POST", url, body, Authorization=key)[1].decode()
                    made.append(answer.partition('"share_hash":"')[2][:16])

            def view(number: int, url: str = server.url) -> None:
                if number == 150:
                    server.stop(signal.SIGKILL)
                link = number % LINKS
                share_hash = made[link]
                agent = "Twitterbot/1.0" if number % 5 == 0 else "x"
                path = f"/r/{share_hash}" if number % 2 else f"/api/shared-reports/{share_hash}"
                try:
                    get(f"{url}{path}", **{"User-Agent": agent})
                    if number % 3 == 0:  # it writes the link's views
                        change = f"{url}/api/shared-reports/{link + 1}"
                        request("PATCH", change, {"label": agent}, Authorization=key)
                except OSError:
                    return  # it is dead

            with ThreadPoolExecutor(4) as pool:
                list(pool.map(view, range(200)))
    counted = fetch(database_in(folder), _LINKS)
    assert counted, "the unlocks are stored at once"
    assert all(row[:4] == row[4:] for row in counted), counted
    [row] = fetch(database_in(folder), _VIDEO)
    assert (row[0], row[1], row[2]) == row[3:6]
    assert (row[0], row[1]) == row[6:]
