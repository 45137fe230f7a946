"""What a shell and a reader get from the parser: completion, the manual page, the help texts."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from support.docs import ROOT
from support.process import run_in_process

from service.cli.main import cli
from service.cli.manual import manual_page
from service.config import Config, variable

PAGE = ROOT / "docs/shared-reports.1"


def options(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Option]]:
    """Every option of every command, by its full name."""
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield f"{name} {parameter.opts[-1]}".strip(), parameter
    for child_name, child in getattr(command, "commands", {}).items():
        yield from options(child, f"{name} {child_name}".strip())


EVERY = dict(options(cli))


@pytest.mark.parametrize("name", EVERY)
def test_help_names_units_and_defaults(name: str) -> None:
    option = EVERY[name]
    text = option.help or ""
    assert text.endswith("."), "no help, or no sentence"
    if option.is_flag:
        return
    assert option.required or "Default: " in text
    if isinstance(option.type, click.types.IntParamType):
        assert text.startswith("How many ") or "position" in text
    if name.split("--")[1] in {"expires-at", "not-before", "expires-before"}:
        assert "(ISO 8601)" in text
        assert "UTC" in text
    if name.split("--")[1] in {"name", "note"} or name == "links create --label":
        assert "characters" in text


def test_manual_page_is_current() -> None:
    assert PAGE.read_text() == manual_page(cli), "shared-reports man > docs/shared-reports.1"
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    shared = data["targets"]["wheel"]["shared-data"]
    assert shared == {"docs/shared-reports.1": "share/man/man1/shared-reports.1"}


def test_manual_page_has_every_option_and_setting(tmp_path: Path) -> None:
    printed = run_in_process("man", folder=tmp_path)
    assert printed.stdout == PAGE.read_text()
    text = printed.stdout.replace("\\-", "-")
    for name, option in EVERY.items():
        assert " " not in name or f".B {option.opts[-1]}" in text
    assert all(
        f".B {variable(setting)}\n" in text for setting in Config.__dataclass_fields__.values()
    )


def test_manual_page_is_read_without_an_error() -> None:
    mandoc = shutil.which("mandoc")
    if mandoc is None:
        pytest.skip("mandoc is not installed (Debian: mandoc)")
    checked = subprocess.run(
        [mandoc, "-T", "lint", "-W", "error", PAGE], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout) == (0, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_the_shell(shell: str, tmp_path: Path) -> None:
    script = run_in_process("completion", shell, folder=tmp_path)
    assert script.returncode == 0
    assert f"_SHARED_REPORTS_COMPLETE={shell}_complete" in script.stdout
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed (Debian: {shell})")
    checked = subprocess.run(
        [path, "-n"], input=script.stdout, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_completion_offers_commands_and_options() -> None:
    shell = ShellComplete(cli, {}, "shared-reports", "_SHARED_REPORTS_COMPLETE")

    def offered(*words: str) -> set[str]:
        return {item.value for item in shell.get_completions(list(words[:-1]), words[-1])}

    assert offered("li") == {"links"}
    assert offered("links", "r") == {"rotate", "revoke"}
    assert {"--user", "--expires-at"} <= offered("links", "create", "--")


def test_completion_works_in_bash(tmp_path: Path) -> None:
    """As a user presses the key: the words go to the program, and its answers to the shell."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    script = run_in_process("completion", "bash", folder=tmp_path).stdout
    typed = (
        f"{script}\nCOMP_WORDS=(shared-reports keys re)\nCOMP_CWORD=2\n"
        "_shared_reports_completion shared-reports\necho ${COMPREPLY[@]}"
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [bash, "-c", typed],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "revoke\n"
