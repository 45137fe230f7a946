"""The command line beside ``serve``: what it prints, what it changes, how it fails."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from support.cli import USER, rows
from support.database import database_in, execute_many
from support.harness import SAMPLE
from support.process import run_in_process


def test_keys_are_listed_and_revoked(folder: Path) -> None:
    key = run_in_process(
        "keys", "create", "--user", USER, "--name", "ci", folder=folder
    ).stdout.strip()
    listed = run_in_process("keys", "list", folder=folder).stdout
    assert USER in listed
    assert key[:15] in listed
    assert key not in listed
    assert " active " in listed
    assert run_in_process("keys", "revoke", "1", folder=folder).returncode == 0
    assert " inactive " in run_in_process("keys", "list", folder=folder).stdout
    missing = run_in_process("keys", "revoke", "2", folder=folder)
    assert (missing.returncode, missing.stderr) == (1, "shared-reports: No such API key.\n")


def test_keys_create_rejects_a_user_that_is_not_a_uuid(folder: Path) -> None:
    result = run_in_process("keys", "create", "--user", "me", "--name", "x", folder=folder)
    assert result.returncode == 2
    assert "'me' is not a UUID" in result.stderr


def test_import_stores_valid_files_whole_and_names_each_invalid_one(
    folder: Path,
) -> None:
    bad = folder / "bad.json"
    bad.write_text(json.dumps({"job_id": "bad", "video_name": "x", "segments": [{}]}))
    nameless = folder / "nameless.json"
    nameless.write_text('{"video_name": "x"}')
    broken = folder / "broken.json"
    broken.write_text("{")
    missing = folder / "missing.json"
    bikes = Path(__file__).parents[1] / "data/bikes.json"
    result = run_in_process(
        "import", bad, SAMPLE, broken, missing, bikes, nameless, "--user", USER, folder=folder
    )
    assert result.returncode == 1
    assert result.stdout == "2 imported, 4 failed\n"
    errors = result.stderr.splitlines()
    assert [line.partition(":")[0] for line in errors] == [
        str(file) for file in (bad, broken, missing, nameless)
    ]
    assert "Segment 0" in errors[0]
    names = rows(folder, "SELECT name, user_id FROM videos ORDER BY id")
    assert names == [("street-meadow-car.mp4", USER), ("bikes.mp4", USER)]


def test_import_again_replaces(folder: Path) -> None:
    for _ in range(2):
        assert run_in_process("import", SAMPLE, "--user", USER, folder=folder).returncode == 0
    assert rows(folder, "SELECT count(*), max(revision) FROM videos") == [(1, 2)]


@pytest.mark.parametrize("count", [0, 401])
def test_sweep_deactivates_expired_links(folder: Path, count: int) -> None:
    run_in_process("import", SAMPLE, "--user", USER, folder=folder)
    execute_many(
        database_in(folder),
        "INSERT INTO shared_reports (user_id, video_id, share_hash, expires_at, created_at)"
        " VALUES (?, 1, ?, ?, '2025-01-15T09:00:00')",
        [
            *((USER, f"hash{n}", "2025-01-15T10:00:00") for n in range(count)),
            (USER, "alive", "9999-01-01T00:00:00"),
        ],
    )
    assert run_in_process("sweep", "--dry-run", folder=folder).stdout == f"{count} to deactivate\n"
    assert run_in_process("sweep", folder=folder).stdout == f"{count} deactivated\n"
    assert run_in_process("sweep", folder=folder).stdout == "0 deactivated\n"
    active = rows(folder, "SELECT share_hash FROM shared_reports WHERE is_active")
    assert active == [("alive",)]


def test_healthcheck_tells_that_a_service_is_not_ready(folder: Path) -> None:
    class Unready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503 if self.path == "/readyz" else 200)
            self.end_headers()
            self.wfile.write(b"what fails")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Unready) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        result = run_in_process("healthcheck", folder=folder, PORT=server.server_port)
        thread.join()
    assert (result.returncode, result.stdout) == (1, "what fails\n")


def test_unknown_setting_stops_each_command_with_one_line(folder: Path) -> None:
    for command in (["serve"], ["keys", "list"], ["healthcheck"]):
        result = run_in_process(*command, folder=folder, DATABSE="x")
        assert result.returncode == 1
        [line] = result.stderr.splitlines()
        assert "SHARED_REPORTS_DATABSE is not a setting" in line


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "\x1b[31m", "\udcff"])
def test_keys_create_rejects_names_that_are_long_or_not_printable(folder: Path, name: str) -> None:
    result = run_in_process("keys", "create", "--user", USER, "--name", name, folder=folder)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_import_refuses_a_job_id_that_put_refuses(folder: Path) -> None:
    file = folder / "odd.json"
    file.write_text(json.dumps({"job_id": "a\nb", "video_name": "x"}))
    result = run_in_process("import", file, "--user", USER, folder=folder)
    assert result.returncode == 1
    assert "job_id" in result.stderr
