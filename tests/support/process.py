"""The service as a process of its own, as an operator runs it."""

import json
import logging
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self
from uuid import UUID

import structlog
from click.testing import CliRunner

from service.cli.main import cli
from service.config import Config
from service.domain.clock import CachedNow
from service.repositories.connect import open_repositories
from support.database import database_in, text_of
from support.postgresql import wait_for

COMMAND = [sys.executable, "-m", "service"]
PATIENCE = 20.0


def environment(folder: Path, **settings: object) -> dict[str, str]:
    """An environment whose database is that of ``folder``, with settings such as ``PORT=0``."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("SHARED_REPORTS_")
    }
    ours = {"DATABASE": text_of(database_in(folder)), "PORT": 0} | settings
    return kept | {f"SHARED_REPORTS_{name}": str(value) for name, value in ours.items()}


def run(
    *arguments: str | Path, folder: Path, under: Sequence[str] = (), **settings: object
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, under another program if given."""
    return subprocess.run(
        [*under, *COMMAND, *map(str, arguments)],
        env=environment(folder, **settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def create_database(folder: Path) -> None:
    """Create a database in ``folder`` that holds one key and nothing else."""
    new_key(folder)


def new_key(folder: Path, user_id: str = f"{1:032}") -> str:
    """Create a key in the database of ``folder``, and that if it is not there; returns the key.

    As ``keys create`` does it, without the start of an interpreter.
    """

    async def create() -> str:
        config = Config(database=database_in(folder))
        present = CachedNow(time.time)
        async with open_repositories(config, present, serves=False, creates=True) as repositories:
            return (await repositories.api_keys.create(str(UUID(user_id)), "x")).raw_key

    return wait_for(create())


def run_in_process(
    *arguments: str | Path, folder: Path, stdin: str = "", **settings: object
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in this process: `run`, without the start of an interpreter.

    No service may be open on the same file in this process, and no event loop may run.
    """
    others = dict.fromkeys(name for name in os.environ if name.startswith("SHARED_REPORTS_"))
    with _logging_kept():
        result = CliRunner().invoke(
            cli,
            list(map(str, arguments)),
            input=stdin,
            env=others | environment(folder, **settings),
            prog_name="shared-reports",
            catch_exceptions=False,
        )
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)


@contextmanager
def _logging_kept() -> Iterator[None]:
    """Undo what a command configures for its process."""
    root, config = logging.getLogger(), structlog.get_config()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.configure(**config)


def run_on_terminal(*arguments: str | Path, folder: Path) -> tuple[str, bytes]:
    """Run a command that succeeds; returns its output, and what a terminal shows of its errors."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        result = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            env=environment(folder),
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        shown = terminal.read(10_000)
        os.close(theirs)
    return result.stdout, shown


def get(url: str, **headers: str) -> tuple[int, bytes]:
    """GET a URL; returns the status and the body."""
    return request("GET", url, **headers)


def request(method: str, url: str, body: object = None, **headers: str) -> tuple[int, bytes]:
    """Send a request, with a body, as JSON if it is not bytes; returns the status and the body."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    call = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(call, timeout=PATIENCE) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def await_true(condition: Callable[[], object], what: str) -> None:
    """Wait for what another process does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.01)


class Server:
    """A serving process."""

    def __init__(self, process: subprocess.Popen[str], output: IO[str], log: Path) -> None:
        self.process = process
        self.output = output
        self.log = log
        self.url = self.wait_for("listening")["url"]

    def events(self) -> list[dict[str, Any]]:
        """All that has been logged so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line]

    def wait_for(self, event: str) -> dict[str, Any]:
        """The first line of this event, once it is there."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for each in self.events():
                if each["event"] == event:
                    return each
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise AssertionError(f"no {event!r}: {self.log.read_text()}")

    def read_until(self, pattern: str) -> str:
        """The standard output up to a line that matches."""
        text = ""
        for line in self.output:
            text += line
            if re.search(pattern, line):
                return text
        raise AssertionError(f"no {pattern!r} in {text!r}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; returns the exit code and how long the end took, in seconds."""
        began = time.monotonic()
        self.process.send_signal(how)
        return self.process.wait(PATIENCE), time.monotonic() - began


class Load:
    """Callers that go on creating links until the context ends or the server is gone."""

    def __init__(self, url: str, key: str, job_id: str, callers: int = 2) -> None:
        self.acknowledged: list[str] = []
        """The hashes of the links whose creation was answered, so far."""
        self._url = f"{url}/api/shared-reports"
        self._body = {"video_id": job_id}
        self._key = key
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._create) for _ in range(callers)]

    def _create(self) -> None:
        while not self._stop.is_set():
            try:
                status, body = request("POST", self._url, self._body, Authorization=self._key)
            except OSError:  # the server has been killed
                return
            assert status == 201, body
            self.acknowledged.append(json.loads(body)["share_hash"])

    def go_on(self, count: int) -> None:
        """Wait until so many more links have been created."""
        enough = len(self.acknowledged) + count
        await_true(lambda: len(self.acknowledged) >= enough, "more links")

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)


@contextmanager
def serving(
    folder: Path, *arguments: str, under: Sequence[str] = (), **settings: object
) -> Iterator[Server]:
    """Serve as long as the context lasts, under another program if given."""
    log = folder / "serve.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*under, *COMMAND, "serve", *arguments],
            env=environment(folder, **({"LOG_FORMAT": "json"} | settings)),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    with process.stdout as output:
        try:
            yield Server(process, output, log)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(PATIENCE)
