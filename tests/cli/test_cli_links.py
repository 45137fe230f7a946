"""The command ``links``: the API's verbs on the file, with a service beside it or without one."""

import json
import re
from pathlib import Path

import pytest
from support.cli import OTHER, USER, answer, import_videos, links, rows
from support.process import run_in_process

FIELDS = ["id", "user_id", "video_id", "share_hash", "expires_at", "is_active", "created_at"]

HEAD = ["ID", "VIDEO", "STATUS", "EXPIRES", "VIEWS", "BOT VIEWS", "SHARE HASH", "LABEL"]


@pytest.fixture
def folder(folder: Path) -> Path:
    import_videos(folder)
    return folder


def content(folder: Path) -> list[tuple[object, ...]]:
    return rows(folder, "SELECT * FROM shared_reports")


def test_links_commands_create_show_list_rotate_and_revoke(folder: Path) -> None:
    made = answer(folder, "create", "job-1", "--expires-at", "2990-01-01", "--label", "press")
    assert list(made)[:7] == FIELDS
    assert (made["user_id"], made["video_id"], made["label"]) == (USER, "1", "press")
    assert (made["expires_at"], made["status"]) == ("2990-01-01T00:00:00", "active")
    assert answer(folder, "show", made["id"]) == made
    assert answer(folder, "list") == [made]
    rotated = answer(folder, "rotate", made["id"])
    assert rotated["share_hash"] != made["share_hash"]
    assert rotated | {"share_hash": ""} == made | {"share_hash": ""}
    assert answer(folder, "revoke", made["id"]) == {"ok": True}
    assert answer(folder, "list") == []


def test_links_create_takes_not_before_and_modules(folder: Path) -> None:
    made = answer(
        *(folder, "create", "2", "--not-before", "2980-01-01T02:00:00+02:00"),
        *("--module", "scenes", "--module", "über"),
    )
    assert (made["video_id"], made["status"]) == ("2", "scheduled")
    assert (made["not_before"], made["modules"]) == ("2980-01-01T00:00:00", ["scenes", "über"])
    assert (made["expires_at"], made["label"]) == (None, None)


def test_links_commands_print_tables_without_json(folder: Path) -> None:
    first = answer(folder, "create", "job-1", "--label", "a \x1b[31m\nb")
    second = answer(folder, "create", "job-2", "--expires-at", "2990-01-01")
    listed = links(folder, "list").stdout.splitlines()
    assert re.split("  +", listed[0]) == HEAD
    expected = ["2", "2", "active", "2990-01-01T00:00:00", "0", "0", second["share_hash"]]
    assert re.split("  +", listed[1]) == expected
    expected = ["1", "1", "active", "never", "0", "0", first["share_hash"], r"a \u001b[31m\nb"]
    assert re.split("  +", listed[2]) == expected
    assert listed[0].index("STATUS") == listed[1].index("active") == listed[2].index("active")
    shown = dict(line.split(maxsplit=1) for line in links(folder, "show", "1").stdout.splitlines())
    assert list(shown) == list(first)
    assert (shown["share_hash"], shown["expires_at"]) == (first["share_hash"], "-")
    for command in (("create", "job-1"), ("rotate", "1")):
        assert links(folder, *command).stdout.startswith("id ")
    assert links(folder, "revoke", "1").stdout == "Link 1 is revoked.\n"


def test_lists_are_filtered(folder: Path) -> None:
    a = answer(folder, "create", "job-1", "--label", "press 1")
    b = answer(folder, "create", "job-2", "--label", "press 2", "--expires-at", "2980-01-01")
    c = answer(folder, "create", "job-2", "--not-before", "2980-01-01")
    for arguments, expected in (
        ((), [c, b, a]),
        (("--limit", "2"), [c, b]),
        (("--status", "scheduled"), [c]),
        (("--status", "active", "--limit", "1"), [b]),
        (("--video", "job-2"), [c, b]),
        (("--video", "1"), [a]),
        (("--video", "job-3"), []),
        (("--label", "press"), [b, a]),
        (("--expires-before", "2980-01-01"), []),
        (("--expires-before", "2980-01-02"), [b]),
    ):
        assert answer(folder, "list", *arguments) == expected, arguments
    assert links(folder, "list", "--label", "x").stdout.count("\n") == 1


REFUSED = [
    (("create", "job-4"), "No such video."),
    (("create", "job-3"), "No such video."),
    (("create", "3"), "No such video."),
    (("create", ""), "video_id"),
    (("create", "job-1", "--expires-at", "2020-01-01"), "`expires_at` is not in the future"),
    (("create", "job-1", "--expires-at", ""), "`expires_at` is not an ISO 8601 date-time."),
    (("create", "job-1", "--not-before", "soon"), "`not_before`"),
    (("create", "job-1", "--label", "x" * 201), "$.label"),
    (("create", "job-1", "--max-views", "0"), "$.max_views"),
    (("create", "job-1", "--password"), "$.password"),  # with nothing to read
    (("create", "job-1", "--module", ""), "$.modules"),
    (("list", "--status", "lost"), "`status` is one of active, "),
    (("list", "--expires-before", "soon"), "`expires_before`"),
    (("show", "2"), "No such shared report."),
    (("rotate", "2"), "No such shared report."),
    (("revoke", "2"), "No such shared report."),
    (("revoke", "01"), "No such shared report."),
    (("show", "9" * 30), "No such shared report."),
]


def test_links_commands_refuse_in_one_line_and_change_nothing(folder: Path) -> None:
    """The first link is the user's, the second is another's."""
    answer(folder, "create", "job-1")
    assert links(folder, "create", "job-3", user=OTHER).returncode == 0
    before = content(folder)
    for arguments, told in REFUSED:
        result = links(folder, *arguments)
        assert (result.returncode, result.stdout) == (1, ""), arguments
        [line] = result.stderr.splitlines()
        assert line.startswith("shared-reports: ")
        assert told in line
    assert content(folder) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--limit", "0"),
        ("list", "--limit", "x"),
        ("list", "--label", "\udcff"),
        ("create", "\udcff"),
        ("create",),
        ("show",),
        ("change", "1"),
    ],
)
def test_links_commands_reject_invalid_arguments(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    result = links(tmp_path, *arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["list", "create", "show", "rotate", "revoke"])
def test_links_commands_require_a_user(tmp_path: Path, command: str) -> None:
    arguments = [] if command == "list" else ["1"]
    result = run_in_process("links", command, *arguments, folder=tmp_path)
    assert result.returncode == 2
    assert "--user" in result.stderr


def test_links_create_uses_the_configured_hash_length(folder: Path) -> None:
    result = run_in_process(
        "links", "create", "job-1", "--user", USER, "--json", folder=folder, SHARE_HASH_LENGTH=40
    )
    assert len(json.loads(result.stdout)["share_hash"]) == 40
