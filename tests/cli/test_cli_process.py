"""The command line as a process: its entry point, a terminal, and a service beside it."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.cli import USER, answer, import_videos, rows
from support.database import contents, database_in
from support.harness import SAMPLE
from support.process import (
    create_database,
    get,
    request,
    run,
    run_in_process,
    run_on_terminal,
    serving,
)

from service import __version__


@pytest.fixture
def filled(folder: Path) -> Path:
    import_videos(folder)
    return folder


def test_keys_create_prints_the_key_and_nothing_else(folder: Path) -> None:
    result = run("keys", "create", "--user", USER.upper(), "--name", "ci", folder=folder)
    assert result.returncode == 0
    assert re.fullmatch(r"lvz_live_[0-9a-f]{64}\n", result.stdout)
    assert rows(folder, "SELECT user_id, name FROM api_keys") == [(USER, "ci")]


def test_keys_revoke_ends_a_key_with_the_next_request_to_the_service(
    folder: Path,
) -> None:
    key = run_in_process(
        "keys", "create", "--user", USER, "--name", "x", folder=folder
    ).stdout.strip()
    with serving(folder) as server:
        assert get(f"{server.url}/api/videos", Authorization=key)[0] == 200
        run_in_process("keys", "revoke", "1", folder=folder)
        assert get(f"{server.url}/api/videos", Authorization=key)[0] == 401


@pytest.mark.engine("sqlite")
def test_command_leaves_checkpoints_to_the_service(folder: Path) -> None:
    """Even one that writes more than SQLite checkpoints by itself."""
    create_database(folder)
    large = folder / "large.json"
    large.write_text(
        json.dumps(
            {
                "job_id": "large",
                "video_name": "x",
                "segments": [
                    {"module": "m", "content": "x" * 2**20, "start_time": 0, "end_time": 1}
                ]
                * 8,
            }
        )
    )
    with closing(sqlite3.connect(folder / "test.sqlite3")) as service:
        assert service.execute("SELECT count(*) FROM videos").fetchone() == (0,)
        before = (folder / "test.sqlite3").stat().st_size
        assert run("import", large, "--user", USER, folder=folder).returncode == 0
        assert service.execute("SELECT count(*) FROM videos").fetchone() == (1,)
        assert (folder / "test.sqlite3").stat().st_size == before


def test_import_shows_its_progress_on_a_terminal_only(folder: Path) -> None:
    arguments = ("import", SAMPLE, "--user", USER)
    assert run_in_process(*arguments, folder=folder).stderr == ""
    output, shown = run_on_terminal(*arguments, folder=folder)
    assert output == "1 imported, 0 failed\n"
    assert b"Importing" in shown


def test_healthcheck_tells_by_its_exit_code(folder: Path) -> None:
    with serving(folder) as server:
        port = server.url.rpartition(":")[2]
        well = run_in_process("healthcheck", folder=folder, PORT=port)
        assert (well.returncode, json.loads(well.stdout)["status"]) == (0, "ok")
        server.stop()
    ill = run_in_process("healthcheck", folder=folder, PORT=port)
    assert ill.returncode == 1
    assert "no answer" in ill.stdout


def test_version_option_prints_the_version(folder: Path) -> None:
    assert run("--version", folder=folder).stdout.strip().endswith(__version__)


def test_links_create_reads_the_password_from_stdin(filled: Path) -> None:
    arguments = ("links", "create", "job-1", "--user", USER, "--json", "--password")
    made = run_in_process(*arguments, "--max-views", "3", folder=filled, stdin="pässwörd\n")
    assert (made.returncode, made.stderr) == (0, "")
    link = json.loads(made.stdout)
    assert (link["has_password"], link["max_views"]) == (1, 3)
    with serving(filled) as server:
        for password, status in (("x", 401), ("pässwörd", 200)):
            url = f"{server.url}/api/shared-reports/{link['share_hash']}/unlock"
            assert request("POST", url, {"password": password})[0] == status


def test_links_commands_take_effect_at_once_beside_a_service(filled: Path) -> None:
    with serving(filled) as server:

        def view(report: Any) -> int:
            return get(f"{server.url}/api/shared-reports/{report['share_hash']}")[0]

        made = answer(filled, "create", "job-1")
        assert view(made) == 200
        rotated = answer(filled, "rotate", made["id"])
        assert (view(made), view(rotated)) == (404, 200)
        assert answer(filled, "revoke", made["id"]) == {"ok": True}
        assert view(rotated) == 404
        before = contents(database_in(filled))
        answer(filled, "list")
        assert contents(database_in(filled)) == before
