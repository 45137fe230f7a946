"""The command ``events``: a user's events, beside a service or without one."""

import json
from pathlib import Path

from support.cli import USER
from support.database import database_in, execute_many
from support.process import create_database, run_in_process

OTHER = "00000000-0000-0000-0000-000000000001"


def events(folder: Path, *arguments: str, user: str = USER) -> str:
    done = run_in_process("events", *arguments, "--user", user, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_cli_events_are_switched_on_listed_and_off(folder: Path, tmp_path: Path) -> None:
    create_database(folder)
    export = tmp_path / "job.json"
    export.write_text(json.dumps({"job_id": "job-1", "video_name": "x", "status": "completed"}))

    def share(label: str) -> None:
        run = run_in_process("import", export, "--user", USER, folder=folder)
        assert run.returncode == 0, run.stderr
        arguments = ("create", "job-1", "--user", USER, "--label", label)
        run = run_in_process("links", *arguments, folder=folder)
        assert run.returncode == 0, run.stderr

    share("before")
    assert events(folder, "list") == "ID  TIME  TYPE  OF  NAME\n"
    assert events(folder, "enable") == "Events are on.\n"
    share("press")
    assert events(folder, "disable") == "Events are off.\n"
    share("after")
    header, replaced, created = events(folder, "list").splitlines()
    assert header.split() == ["ID", "TIME", "TYPE", "OF", "NAME"]
    assert [*replaced.split()[:1], *replaced.split()[2:]] == ["1", "video.replaced", "1", "x"]
    assert created.split()[2:] == ["shared_report.created", "2", "press"]
    [line] = events(folder, "list", "--after", "1", "--json").splitlines()
    event = json.loads(line)
    assert (event["id"], event["type"]) == ("2", "shared_report.created")
    assert event["data"]["label"] == "press"
    assert "share_hash" not in line
    assert events(folder, "list", user=OTHER) == "ID  TIME  TYPE  OF  NAME\n"


def test_cli_events_list_looks_past_events_of_other_types(folder: Path) -> None:
    create_database(folder)
    execute_many(
        database_in(folder),
        "INSERT INTO events (user_id, type, created_at, video_id, job_id, name, video_status,"
        " selected_insights, video_created_at, updated_at)"
        " VALUES (?, ?, ?, 1, 'j', 'n', 'completed', '[]', ?, ?)",
        [
            (USER, f"video.{name}", *["2025-01-15T10:00:00"] * 3)
            for name in ["replaced"] * 10_001 + ["deleted"]
        ],
    )
    [line] = events(folder, "list", "--type", "video.deleted", "--json").splitlines()
    assert json.loads(line)["id"] == "10002"
    assert len(events(folder, "list", "--limit", "3").splitlines()) == 4
