"""A process that is killed while it deletes the rows of revoked links."""

import json
import signal
from pathlib import Path

import pytest
from support.cli import USER
from support.database import fetch
from support.links import fill, rows_left
from support.process import await_true, new_key, request, serving

COUNT = 60_000
LIST = "/api/videos/job-1/shared-reports"


def links_told(database: Path) -> tuple[int, int]:
    """How many events say that a link was revoked, and how many links they are about."""
    [counts] = fetch(
        database,
        "SELECT count(*), count(DISTINCT link_id) FROM events WHERE type = ?",
        "shared_report.revoked",
    )
    return counts[0], counts[1]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("ending", [LIST, "/api/videos/job-1"])
def test_revocation_survives_a_kill_between_two_batches(tmp_path: Path, ending: str) -> None:
    key = new_key(tmp_path, USER)
    database = tmp_path / "test.sqlite3"
    export = {"name": "x", "status": "completed"}

    with serving(tmp_path, LOOKUP_RATE_LIMIT="off") as server:
        request("PUT", f"{server.url}/api/videos/job-1", export, Authorization=key)
        hashes = fill(database, COUNT)
        request("PUT", f"{server.url}/api/events", {"enabled": True}, Authorization=key)
        status, body = request("DELETE", f"{server.url}{ending}", Authorization=key)
        assert status == 200
        await_true(lambda: rows_left(database) < COUNT, "the first batch")
        server.stop(signal.SIGKILL)
    assert json.loads(body).get("deleted", COUNT) == COUNT
    assert 0 < rows_left(database) < COUNT, "the kill met no deletion"
    deleted = COUNT - rows_left(database)
    assert links_told(database) == (deleted, deleted)

    with serving(tmp_path, LOOKUP_RATE_LIMIT="off") as server:
        for share_hash in (hashes[0], hashes[COUNT // 2], hashes[-1]):
            status, _ = request("GET", f"{server.url}/api/shared-reports/{share_hash}")
            assert status == 404
        listed = request("GET", f"{server.url}/api/shared-reports", Authorization=key)
        assert listed == (200, b"[]")
        request("PUT", f"{server.url}/api/videos/job-1", export, Authorization=key)
        created = {"video_id": "job-1"}
        status, body = request(
            "POST", f"{server.url}/api/shared-reports", created, Authorization=key
        )
        assert status == 201
        await_true(lambda: rows_left(database) == 1, "the last batch")
        await_true(lambda: rows_left(database, "revocations") == 0, "the end of the revocation")
        assert rows_left(database, "videos") == 1
        share_hash = json.loads(body)["share_hash"]
        assert request("GET", f"{server.url}/api/shared-reports/{share_hash}")[0] == 200
        assert request("DELETE", f"{server.url}{LIST}", Authorization=key)[1] == (
            b'{"ok":true,"deleted":1}'
        )
    assert links_told(database) == (COUNT + 1, COUNT + 1)
