"""Every command prints what a terminal shows and does not obey, wherever the text comes from."""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
from support.cli import USER
from support.database import database_in, fetch
from support.harness import SAMPLE
from support.process import run, run_in_process

from service.cli.main import cli
from service.telemetry.printable import printable

# Of each kind: C0, an escape sequence, DEL, C1, bidirectional, zero-width, separators, private.
HOSTILE = "a\a\x1b]0;x\a\x7f\x9b31m\u202e\u200b\u2028\ufeff\ue000\r\nb"
FILE = HOSTILE + "\udcff"
"""A file's name may be no UTF-8, too."""


@pytest.fixture
def folder(folder: Path) -> Path:
    """A database whose key has a hostile name, and whose link has a hostile label and module."""
    run_in_process("import", SAMPLE, "--user", USER, folder=folder)
    run_in_process("keys", "create", "--user", USER, "--name", "x", folder=folder)
    run_in_process("links", "create", "1", "--user", USER, folder=folder)
    database = database_in(folder)
    fetch(database, "UPDATE api_keys SET name = ?", HOSTILE)
    sql = "UPDATE shared_reports SET label = ?, modules = ?"
    fetch(database, sql, HOSTILE, json.dumps([HOSTILE]))
    return folder


def export_with(folder: Path, **fields: object) -> Path:
    file = folder / FILE
    file.write_text(json.dumps({"job_id": "job-1", "video_name": "x"} | fields))
    return file


def copy_with(folder: Path, statement: str) -> Path:
    """A copy of an SQLite file, changed."""
    file = folder / FILE
    original: dict[str, Any] = {"DATABASE": folder / "original.sqlite3"}
    run_in_process("import", SAMPLE, "--user", USER, folder=folder, **original)
    run_in_process("links", "create", "1", "--user", USER, folder=folder, **original)
    run_in_process("backup", file, folder=folder, **original)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(statement)
        connection.commit()
    return file


def told(folder: Path) -> tuple[str, ...]:
    """Let there be an event of a link with a hostile label; returns its user."""
    run_in_process("events", "enable", *USER_OPTION, folder=folder)
    fetch(database_in(folder), "UPDATE shared_reports SET note = 'x'")
    assert "a\\u0007" in run_in_process("events", "list", *USER_OPTION, folder=folder).stdout
    return USER_OPTION


TABLE = f'"{HOSTILE}"'
USER_OPTION = ("--user", USER)
COMMANDS: list[tuple[str, Callable[[Path], tuple[str | Path, ...]]]] = [
    ("keys create", lambda _: ("--user", HOSTILE, "--name", "x")),
    ("keys create", lambda _: ("--user", USER, "--name", HOSTILE)),
    ("keys create", lambda _: (f"--{HOSTILE}",)),
    ("keys list", lambda _: ()),
    ("keys revoke", lambda _: ("1",)),
    ("keys revoke", lambda _: (HOSTILE,)),
    ("keys revoke", lambda _: ("1", HOSTILE)),
    ("links list", lambda _: USER_OPTION),
    ("links list", lambda _: (*USER_OPTION, "--status", HOSTILE)),
    ("links list", lambda _: (*USER_OPTION, "--expires-before", HOSTILE)),
    ("links list", lambda _: (*USER_OPTION, "--limit", HOSTILE)),
    ("links list", lambda _: (*USER_OPTION, "--label", "\udcff")),
    ("links show", lambda _: ("1", *USER_OPTION)),
    ("links show", lambda _: (HOSTILE, *USER_OPTION)),
    (
        "links create",
        lambda _: (
            "1",
            *USER_OPTION,
            "--label",
            HOSTILE,
            "--module",
            "scenes",
            "--module",
            HOSTILE,
        ),
    ),
    ("links create", lambda _: (HOSTILE, *USER_OPTION)),
    ("links create", lambda _: ("1", *USER_OPTION, "--expires-at", HOSTILE)),
    ("links stats", lambda _: ("1", *USER_OPTION)),
    ("links stats", lambda _: (HOSTILE, *USER_OPTION)),
    ("links stats", lambda _: ("1", *USER_OPTION, "--from", HOSTILE)),
    ("links rotate", lambda _: ("1", *USER_OPTION)),
    ("links revoke", lambda _: ("1", *USER_OPTION)),
    ("links revoke", lambda _: (HOSTILE, *USER_OPTION)),
    ("events enable", lambda _: USER_OPTION),
    ("events enable", lambda _: ("--user", HOSTILE)),
    ("events disable", lambda _: USER_OPTION),
    ("events list", told),
    ("events list", lambda folder: (*told(folder), "--json")),
    ("events list", lambda _: (*USER_OPTION, "--type", HOSTILE)),
    ("webhooks list", lambda _: USER_OPTION),
    ("webhooks create", lambda _: (f"https://x/{HOSTILE}", *USER_OPTION)),
    (
        "webhooks create",
        lambda _: ("https://hooks.invalid/", *USER_OPTION, "--description", HOSTILE),
    ),
    ("webhooks create", lambda _: ("https://x/", *USER_OPTION, "--event", HOSTILE)),
    ("webhooks test", lambda _: (HOSTILE, *USER_OPTION)),
    ("webhooks deliveries", lambda _: ("1", *USER_OPTION)),
    ("webhooks deliveries", lambda _: ("1", *USER_OPTION, "--status", HOSTILE)),
    ("webhooks retry", lambda _: ("1", HOSTILE, *USER_OPTION)),
    ("webhooks delete", lambda _: (HOSTILE, *USER_OPTION)),
    ("import", lambda folder: (folder / FILE, *USER_OPTION)),
    ("import", lambda folder: (export_with(folder, status=HOSTILE), *USER_OPTION)),
    ("import", lambda folder: (export_with(folder, job_id=HOSTILE), *USER_OPTION)),
    ("import", lambda folder: (export_with(folder, segments=[{HOSTILE: 1}]), *USER_OPTION)),
    ("sweep", lambda _: (HOSTILE,)),
    ("purge", lambda _: (HOSTILE,)),
    ("backup", lambda folder: (folder / FILE,)),
    ("backup", lambda folder: (export_with(folder),)),
    ("backup", lambda folder: (folder / FILE / "x",)),
    ("copy", lambda folder: (folder / FILE,)),
    ("copy", lambda folder: (export_with(folder),)),
    ("copy", lambda _: (f"postgresql://{FILE}@127.0.0.1:1/{HOSTILE}",)),
    ("copy", lambda _: (f"postgresql://127.0.0.1:1/{FILE}?sslmode={HOSTILE}",)),
    ("migrate", lambda _: ()),
    ("migrate", lambda _: ("--dry-run",)),
    ("check", lambda folder: (folder / FILE,)),
    ("check", lambda folder: (export_with(folder),)),
    ("check", lambda folder: (copy_with(folder, f"CREATE TABLE {TABLE} (x)"),)),
    ("check", lambda folder: (copy_with(folder, "UPDATE shared_reports SET video_id = 9"),)),
    ("healthcheck", lambda _: (HOSTILE,)),
    ("completion", lambda _: (HOSTILE,)),
    *(("completion", lambda _, shell=shell: (shell,)) for shell in ("bash", "zsh", "fish")),
    ("man", lambda _: ()),
    ("serve", lambda _: (HOSTILE,)),
    (HOSTILE, lambda _: ()),
]


def is_inert(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize(("command", "arguments"), COMMANDS)
def test_output_of_every_command_is_inert(
    folder: Path, command: str, arguments: Callable[[Path], tuple[str | Path, ...]]
) -> None:
    words = [command] if command == HOSTILE else command.split()
    result = run_in_process(*words, *arguments(folder), folder=folder)
    assert result.stdout + result.stderr
    assert is_inert(result.stdout), ascii(result.stdout)
    assert is_inert(result.stderr), ascii(result.stderr)


def test_output_is_tested_for_every_command() -> None:
    def leaves(command: click.Command, path: str) -> Iterator[str]:
        if not isinstance(command, click.Group):
            yield path
            return
        for name, child in command.commands.items():
            yield from leaves(child, f"{path} {name}".strip())

    assert {command for command, _ in COMMANDS} == {*leaves(cli, ""), HOSTILE}


@pytest.mark.parametrize("command", ["list", "show", "rotate"])
def test_output_as_json_is_inert_and_exact(folder: Path, command: str) -> None:
    words = ["list"] if command == "list" else [command, "1"]
    result = run_in_process("links", *words, *USER_OPTION, "--json", folder=folder)
    assert is_inert(result.stdout), ascii(result.stdout)
    shown = json.loads(result.stdout)
    [report] = shown if command == "list" else [shown]
    assert (report["label"], report["modules"]) == (HOSTILE, [HOSTILE])


@pytest.mark.parametrize(
    "settings", [{HOSTILE: "1"}, {"PORT": HOSTILE}, {"LOG_FORMAT": HOSTILE}, {"BASE_URL": HOSTILE}]
)
def test_output_of_a_bad_setting_is_one_inert_line(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    result = run_in_process("keys", "list", folder=tmp_path, **settings)
    assert (result.returncode, result.stdout) == (1, "")
    assert is_inert(result.stderr)
    assert result.stderr.count("\n") == 1


def test_output_of_healthcheck_is_inert(tmp_path: Path) -> None:
    class Hostile(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(HOSTILE.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hostile) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        result = run_in_process("healthcheck", folder=tmp_path, PORT=server.server_port)
        thread.join()
    assert (result.returncode, result.stdout) == (0, printable(HOSTILE) + "\n")


def test_printable_escapes_as_json_and_leaves_the_rest() -> None:
    assert printable("über 5\u00a0€ 検索 \\ \"'") == "über 5\u00a0€ 検索 \\ \"'"
    assert printable("\x1b\x85\u202e\U000e0001") == r"\u001b\u0085\u202e\udb40\udc01"
    assert json.loads(printable(json.dumps(HOSTILE, ensure_ascii=False))) == HOSTILE


def test_output_escapes_what_its_encoding_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The escapes are JSON's, also beyond the basic plane, and columns stay aligned."""
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    run_in_process("import", SAMPLE, "--user", USER, folder=tmp_path)
    for label in ("\u65e5\u672c\U0001f600", "x"):
        made = run_in_process(
            "links", "create", "1", "--user", USER, "--label", label, folder=tmp_path
        )
        assert made.returncode == 0
    listed = run("links", "list", "--user", USER, folder=tmp_path)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert r"\u65e5\u672c\ud83d\ude00" in listed.stdout
    as_json = run("links", "list", "--user", USER, "--json", folder=tmp_path)
    assert {link["label"] for link in json.loads(as_json.stdout)} == {"\u65e5\u672c\U0001f600", "x"}
