"""Helpers of the tests of the command line."""

import json
import subprocess
import uuid
from pathlib import Path
from typing import Any

from support.database import database_in, fetch
from support.process import run_in_process

USER = str(uuid.uuid4())
OTHER = str(uuid.uuid4())


def rows(folder: Path, sql: str) -> list[tuple[object, ...]]:
    return fetch(database_in(folder), sql)


def links(folder: Path, *arguments: str, user: str = USER) -> subprocess.CompletedProcess[str]:
    return run_in_process("links", *arguments, "--user", user, folder=folder)


def answer(folder: Path, *arguments: str) -> Any:
    """What a command that succeeds prints as JSON."""
    result = links(folder, *arguments, "--json")
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)


def import_videos(folder: Path) -> None:
    """Make a database with two videos of USER and one of OTHER."""
    files = [folder / f"{n}.json" for n in (1, 2, 3)]
    for file in files:
        file.write_text(json.dumps({"job_id": f"job-{file.stem}", "video_name": "x"}))
    run_in_process("import", *files[:2], "--user", USER, folder=folder)
    run_in_process("import", files[2], "--user", OTHER, folder=folder)
