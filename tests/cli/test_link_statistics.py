"""The command ``links stats``: the views of a link, as a bar chart or as the API's JSON."""

import time
from pathlib import Path

import pytest
from support.cli import OTHER, answer, import_videos, links
from support.database import database_in, execute_many, fetch
from support.process import run_in_process

HOUR = int(time.time()) // 3600


@pytest.fixture
def folder(folder: Path) -> Path:
    """A database with a link that was viewed in the last hour, and two days ago."""
    import_videos(folder)
    answer(folder, "create", "job-1")
    database = database_in(folder)
    execute_many(
        database,
        "INSERT INTO view_statistics VALUES (1, 1, ?, ?, ?, ?, ?)",
        [(HOUR, 1, 3, 2, 1), (HOUR - 48, 80, 0, 0, 0)],
    )
    fetch(database, "UPDATE shared_reports SET failed_password_count = 5, bot_view_count = 2")
    return folder


def test_statistics_as_json_are_those_of_the_api(folder: Path) -> None:
    printed = answer(folder, "stats", "1", "--interval", "hour")
    assert list(printed)[:5] == [
        *("total", "bots", "first_viewed_at", "last_viewed_at", "failed_passwords"),
    ]
    assert (len(printed["buckets"]), printed["failed_passwords"]) == (720, 5)
    start = time.strftime("%Y-%m-%dT%H:00:00", time.gmtime(HOUR * 3600))
    [bucket] = [bucket for bucket in printed["buckets"] if bucket["start"] == start]
    counts = {"views": 4, "bots": 2, "pages": 3, "api": 1, "downloads": 1}
    assert bucket == {"start": start} | counts


@pytest.mark.parametrize("columns", [80, 200, 20])
def test_statistics_are_a_bar_chart_as_wide_as_the_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = links(folder, "stats", "1").stdout.splitlines()
    assert lines[0] == "Views: 0. Bot views: 2. Wrong passwords: 5."
    head, *rows = lines[2:]
    assert head.split() == ["DAY", "VIEWS", "PAGES", "API", "BOTS", "DOWNLOADS"]
    assert rows[0].split()[1:6] == ["80", "0", "80", "0", "0"]
    assert rows[1].split()[1:] == ["0", "0", "0", "0", "0"]
    assert rows[2].split()[1:6] == ["4", "3", "1", "2", "1"]
    assert {row.split()[1] == row[12:17].strip() for row in rows} == {True}, "aligned"
    longest, shortest = [row.rpartition(" ")[2] for row in (rows[0], rows[2])]
    assert len(rows[0]) == max(columns, 58)
    assert set(longest) == {"█"}
    assert 1 <= len(shortest) <= len(longest) / 20 + 1


def test_statistics_without_views_are_no_chart(folder: Path) -> None:
    lines = links(folder, "stats", "1", "--to", "2025-01-01").stdout.splitlines()
    assert lines[-1] == "Nothing in this period."


def test_statistics_have_bars_of_ascii_where_nothing_else_is_printed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("service.cli.link_statistics._EIGHTHS", "\udcff" * 8)  # never printable
    assert links(folder, "stats", "1").stdout.splitlines()[3].endswith(f"  {'#' * 32}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("1", "--from", "x"), "`from` is not an ISO 8601 date-time."),
        (("2",), "No such shared report."),
        (("1", "--interval", "hour", "--from", "2020-01-01"), "an answer has 750 at most"),
    ],
)
def test_statistics_of_nothing_or_too_much_are_refused(
    folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = links(folder, "stats", *arguments)
    assert (result.returncode, result.stdout) == (1, "")
    assert said in result.stderr


def test_statistics_of_another_users_link_are_not_shown(folder: Path) -> None:
    result = links(folder, "stats", "1", user=OTHER)
    assert (result.returncode, result.stderr) == (1, "shared-reports: No such shared report.\n")
    wrong = run_in_process("links", "stats", "1", "--interval", "week", folder=folder)
    assert wrong.returncode == 2
