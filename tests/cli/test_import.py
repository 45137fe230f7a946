"""The command ``import``: which files it takes, what it says of them, and what it writes."""

import json
from pathlib import Path

import pytest
from support.cli import USER, rows
from support.database import database_in
from support.harness import SAMPLE, export, segment
from support.process import run_in_process

from service.domain.postgresql_url import PostgresqlUrl

EXPORT = json.dumps(export(job_id="job-1", segments=[segment(0, 1)]))


def test_import_takes_a_byte_order_mark(folder: Path) -> None:
    file = folder / "marked.json"
    file.write_text(EXPORT, encoding="utf-8-sig")
    result = run_in_process("import", file, "--user", USER, folder=folder)
    assert (result.returncode, result.stdout, result.stderr) == (0, "1 imported, 0 failed\n", "")
    assert rows(folder, "SELECT job_id FROM videos") == [("job-1",)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_import_refuses_utf16_in_a_sentence(folder: Path, encoding: str) -> None:
    file = folder / "wide.json"
    file.write_text(EXPORT, encoding=encoding)
    result = run_in_process("import", file, "--user", USER, folder=folder)
    assert (result.returncode, result.stdout) == (1, "0 imported, 1 failed\n")
    assert result.stderr == f"{file}: The body is UTF-16 or UTF-32. JSON is UTF-8.\n"


def make_files(folder: Path) -> list[Path]:
    """A good file, one with ignored fields, and two that are wrong."""
    texts = {
        "good": EXPORT,
        "misspelt": json.dumps(export(job_id="job-2", segmnets=[segment(0, 1)], **{"a\x1b[2J": 1})),
        "nan": EXPORT.replace("0,", "NaN,"),
        "wrong": json.dumps(export(job_id="job-3", scenes=[segment(0, 1), segment(2, 1)])),
    }
    for name, text in texts.items():
        (folder / f"{name}.json").write_text(text)
    return [folder / f"{name}.json" for name in texts]


def holds_videos(folder: Path) -> bool:
    """Whether the database holds a video: a file that does not exist holds none."""
    database = database_in(folder)
    exists = isinstance(database, PostgresqlUrl) or database.exists()
    return exists and rows(folder, "SELECT count(*) FROM videos") != [(0,)]


@pytest.mark.parametrize("dry", [True, False])
def test_import_says_what_it_ignores_and_what_failed(folder: Path, *, dry: bool) -> None:
    files = make_files(folder)
    options = ["--dry-run"] if dry else []
    result = run_in_process("import", *files, "--user", USER, *options, folder=folder)
    assert result.returncode == 1
    assert result.stdout == f"2 {'to import' if dry else 'imported'}, 2 failed\n"
    lines = result.stderr.splitlines()
    assert lines[0] == f"{files[1]}: ignored fields: segmnets, a\ufffd[2J"
    assert lines[1].startswith(f"{files[2]}: The body is not valid JSON at byte ")
    assert "NaN is not a JSON number" in lines[1]
    assert lines[2:] == [f"{files[3]}: Segment 1 of `scenes`: `end_time` is before `start_time`."]
    if dry:
        assert not holds_videos(folder)
    else:
        assert rows(folder, "SELECT job_id FROM videos ORDER BY id") == [("job-1",), ("job-2",)]


def test_import_dry_run_changes_no_database(folder: Path) -> None:
    run_in_process("import", SAMPLE, "--user", USER, folder=folder)
    before = rows(folder, "SELECT * FROM videos")
    result = run_in_process("import", SAMPLE, "--user", USER, "--dry-run", folder=folder)
    assert (result.returncode, result.stdout) == (0, "1 to import, 0 failed\n")
    assert rows(folder, "SELECT * FROM videos") == before


def test_import_names_at_most_twenty_ignored_fields(folder: Path) -> None:
    file = folder / "many.json"
    file.write_text(json.dumps(export(job_id="j", **{f"k{n:02}": 1 for n in range(25)})))
    result = run_in_process("import", file, "--user", USER, folder=folder)
    assert result.stderr.endswith(", k18, k19 and 5 more\n")
