"""The documentation is true: its settings, its commands, its routes."""

import dataclasses
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from support.docs import README, ROOT, section
from support.process import run, serving

from service import __version__
from service.app import ROUTES
from service.config import Config, variable

COMMANDS = sorted(
    set(re.findall(r"^\$ shared-reports ([a-z -]+?)(?= -|$| [A-Z0-9])", README, re.MULTILINE))
)


def test_the_configuration_table_is_the_configuration() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", section("Configuration"), re.MULTILINE)
    expected = [
        (
            variable(setting),
            "-" if setting.default is None else f"`{setting.default}`",
            setting.metadata["meaning"],
        )
        for setting in dataclasses.fields(Config)
    ]
    assert rows == [
        (name, re.sub(r"`([0-9]+)\.0`", r"`\1`", default), meaning)
        for name, default, meaning in expected
    ]


def test_what_security_md_goes_by_are_settings() -> None:
    named = set(re.findall(r"SHARED_REPORTS_\w+", (ROOT / "SECURITY.md").read_text()))
    assert named <= {variable(setting) for setting in dataclasses.fields(Config)}
    assert len(named) > 5


def test_every_route_is_in_the_readme() -> None:
    rows = re.findall(r"^\| `([A-Z]+) (\S+)` \|", section("The API"), re.MULTILINE)
    assert rows == [(route.method, route.path) for route in ROUTES]


def test_the_example_of_the_readme_works_as_it_is_written(tmp_path: Path) -> None:
    """In a shell, but for the port and the start of the service itself."""
    block = section("An example").split("```")[1].removeprefix("console\n")
    commands = re.findall(r"^\$ (.*(?:\\\n.*|\n {4,}.*)*)", block, re.MULTILINE)
    [create_key, serve, *curls] = commands
    assert serve == "shared-reports serve &"
    key = run(*shlex.split(create_key.partition("$(shared-reports ")[2][:-1]), folder=tmp_path)
    with serving(tmp_path) as server:
        answers: list[dict[str, object]] = [{}]
        for curl in curls:
            line = curl.replace("localhost:8080", server.url)
            line = line.replace("xK9mP2qR7wLnY4vB", str(answers[-1].get("share_hash")))
            shell = subprocess.run(
                ["sh", "-c", line],
                env=os.environ | {"LVZ_KEY": key.stdout.strip()},
                capture_output=True,
                text=True,
                check=True,
            )
            answers.append(json.loads(shell.stdout))
    shown = json.loads(block[block.index('{"id"') : block.index("}\n$ curl") + 1])
    assert list(answers[2]) == list(shown)
    assert answers[3]["share_hash"] == answers[2]["share_hash"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_readme_exists(command: str, tmp_path: Path) -> None:
    result = run(*command.split(), "--help", folder=tmp_path)
    assert result.returncode == 0, result.stderr


def test_every_command_is_in_the_readme(tmp_path: Path) -> None:
    listed = run("--help", folder=tmp_path).stdout.partition("Commands:")[2]
    for command in re.findall(r"^  (\w+)", listed, re.MULTILINE):
        assert f"shared-reports {command}" in README


def test_every_make_target_of_the_readme_exists() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = set(re.findall(r"^  make (\S+)", listed.stdout, re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z]+)`?", README)) <= targets
    assert {"run", "test", "bench"} <= targets


def test_every_test_that_the_documents_name_exists() -> None:
    texts = [each.read_text() for each in (ROOT / "docs").glob("*.md")]
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", "".join(texts))
    assert named
    for path, name in named:
        assert re.search(rf"def {name}\b", (ROOT / path).read_text()), f"{path}::{name}"


def test_the_changelog_speaks_of_this_version() -> None:
    first = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first is not None
    assert first[1] == ("Unreleased" if "dev" in __version__ else __version__)
