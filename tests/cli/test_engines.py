"""Every command works on every engine, or says in one line what does its work there."""

import json
from pathlib import Path

import click
import pytest
from support.cli import USER
from support.docs import code, rows
from support.process import create_database, run_in_process

from service.cli.main import cli

AS_PROCESSES = {"serve", "healthcheck"}
"""Other tests run these, on every engine."""


def every_command() -> set[str]:
    return {
        f"{name} {child}".strip()
        for name, command in cli.commands.items()
        for child in (command.commands if isinstance(command, click.Group) else [""])
    }


def calls_of(folder: Path, source: Path) -> dict[str, tuple[str | Path, ...]]:
    """Arguments for each command, in an order in which each finds what it is about."""
    video = folder / "video.json"
    video.write_text(json.dumps({"job_id": "job-1", "video_name": "x"}))
    user = ("--user", USER)
    return {
        "copy": (source,),
        "keys create": (*user, "--name", "x"),
        "keys list": (),
        "keys revoke": ("1",),
        "import": (video, *user),
        "events enable": user,
        "links create": ("job-1", *user),
        "links list": user,
        "links show": ("1", *user),
        "links rotate": ("1", *user),
        "links stats": ("1", *user),
        "links revoke": ("1", *user),
        "events list": user,
        "events disable": user,
        "webhooks list": user,
        "webhooks create": ("https://hooks.example/", *user),
        "webhooks test": ("1", *user),
        "webhooks deliveries": ("1", *user),
        "webhooks retry": ("1", "1", *user),
        "webhooks delete": ("1", *user),
        "sweep": (),
        "purge": (),
        "backup": (folder / "backup",),
        "check": (),
        "migrate": (),
        "completion": ("bash",),
        "man": (),
    }


def test_commands_do_on_each_engine_what_the_document_says(
    engine: str, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = tmp_path_factory.mktemp("source")
    create_database(source)
    calls = calls_of(folder, source / "test.sqlite3")
    assert calls.keys() | AS_PROCESSES == every_command()
    column = {"sqlite": 1, "postgresql": 2}[engine]
    documented = {code(row[0])[0]: row[column] for row in rows("cli", "Engines")}
    for name, arguments in calls.items():
        done = run_in_process(*name.split(), *arguments, folder=folder, RETENTION_DAYS=1)
        if (said := documented.get(name, "works")) == "works":
            assert (done.returncode, done.stderr) == (0, ""), name
        else:
            assert done.returncode == 1, name
            [line] = done.stderr.splitlines()
            assert code(said)[0] in line
