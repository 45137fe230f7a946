"""A served database, and commands that have to be rejected beside it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.process import (
    PATIENCE,
    Server,
    environment,
    get,
    request,
    run,
)

# Runs the commands of its standard input, and prints each one's exit code and standard error.
COMMANDS = """
import contextlib, json, sys, tempfile
from service.cli.main import main
for arguments in json.load(sys.stdin):
    sys.argv = ["shared-reports", *arguments]
    with tempfile.TemporaryFile("w+") as error, contextlib.redirect_stderr(error):
        try:
            main()
        except SystemExit as end:
            error.seek(0)
            print(json.dumps([end.code, error.read().rstrip()]), flush=True)
"""


class Served:
    """A serving process with one video and one link."""

    def __init__(self, folder: Path, server: Server, key: str) -> None:
        self.file = folder / "test.sqlite3"
        self.folder, self.server, self.key = folder, server, key
        request("PUT", f"{server.url}/api/videos/j", {"video_name": "x"}, Authorization=key)
        self.first = self.create()

    def create(self) -> str:
        status, body = request(
            "POST",
            f"{self.server.url}/api/shared-reports",
            {"video_id": "j"},
            Authorization=self.key,
        )
        assert status == 201, body
        share_hash: str = json.loads(body)["share_hash"]
        return share_hash

    def view(self, share_hash: str) -> int:
        return get(f"{self.server.url}/api/shared-reports/{share_hash}")[0]

    def copy(self) -> Path:
        copy = self.folder / "copy.sqlite3"
        made = run("backup", copy, folder=self.folder)
        assert made.returncode == 0, made.stderr
        return copy

    def refuses(self, *commands: list[str], **settings: object) -> set[str]:
        """All commands, in one process, fail with one line each; returns the lines."""
        result = subprocess.run(
            [sys.executable, "-c", COMMANDS],
            input=json.dumps(commands),
            env=environment(self.folder, **settings),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=True,
        )
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        assert len(lines) == len(commands), result
        for code, line in lines:
            assert code == 1, lines
            assert line.startswith("shared-reports: "), lines
            assert "\n" not in line, lines
        return {line for _, line in lines}

    @contextmanager
    def stopped(self) -> Iterator[None]:
        self.server.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.server.process.send_signal(signal.SIGCONT)

    def stops_well(self) -> None:
        assert self.server.stop()[0] == 0
        assert "Traceback" not in self.server.log.read_text()
        checked = run("check", folder=self.folder)
        assert checked.returncode == 0, checked.stdout
