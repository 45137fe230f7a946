"""The way to an engine: by the setting, and without a library that is not installed."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.database import use_database
from support.process import environment, run_in_process

from service.domain.postgresql_url import PostgresqlUrl

URL = "postgresql://alice:hunter2@127.0.0.1:1/reports"


def test_missing_library_is_named_with_the_way_to_install_it(tmp_path: Path) -> None:
    """In a process of its own: a module that is imported here stays imported."""
    program = (
        "import sys; sys.modules['asyncpg'] = None; "
        "sys.argv = ['shared-reports', 'serve']; from service.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(tmp_path, DATABASE=URL),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.endswith("pip install 'shared-reports[postgresql]'")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("backup", "copy"), "PostgreSQL makes its own copies: pg_dump --format=custom"),
        (("check",), "PostgreSQL checks its own files: pg_amcheck"),
        (("keys", "list"), "no connection"),
        (("migrate", "--dry-run"), "no connection"),
        (("sweep",), "no connection"),
    ],
)
def test_command_says_in_one_line_what_it_cannot_do(
    tmp_path: Path, command: tuple[str, ...], said: str
) -> None:
    use_database(tmp_path, PostgresqlUrl(URL))
    done = run_in_process(*command, folder=tmp_path)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert said in line
    assert "alice:***@" in line
    assert "hunter2" not in done.stderr + done.stdout


def test_migrate_creates_the_schema_and_then_has_nothing_to_do(folder: Path) -> None:
    """On every engine; the databases of the tests have a schema of PostgreSQL already."""
    first = run_in_process("migrate", "--dry-run", folder=folder)
    assert (first.returncode, first.stderr) == (0, "")
    assert run_in_process("migrate", folder=folder).returncode == 0
    again = run_in_process("migrate", folder=folder)
    assert again.stdout.startswith("The schema version is ")
    assert again.stdout.endswith(" there is nothing to do.\n")
    if "would" in first.stdout:
        assert first.stdout.startswith("The schema version is 0, ")
