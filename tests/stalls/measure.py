"""Serves the worst database, sends a case, and reports who waited for it."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asking import timed
from stored import Stored
from support.process import environment, new_key
from worst import Case

HERE = Path(__file__).parent
LINGER = 0.2
"""Seconds for which the watch goes on after the answer: background work follows some."""

PAUSES = {"time": 0.002, "count": 0.02}
"""Seconds between two requests of the probe. A count does not depend on how often it asks."""


@dataclass(frozen=True)
class Outcome:
    """What one run of a case gave; times in seconds."""

    statuses: list[int]
    own: float
    view: float
    create: float
    wrong: list[int]
    """Statuses of the probe that it should not have got."""
    most: dict[str, float]
    """The most of each figure that the service has seen."""
    where: dict[str, str]
    pools: list[str]


class Program:
    """A process that answers each line with a line of JSON."""

    def __init__(self, stack: ExitStack, *arguments: object, **options: Any) -> None:
        self._process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )
        stack.enter_context(self._process)
        stack.callback(self._process.kill)

    def line(self) -> str:
        assert self._process.stdout is not None
        line: str = self._process.stdout.readline()
        assert line, "the process has ended"
        return line.strip()

    def report(self) -> Any:
        """What the process has seen since the last call."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        report: Any = json.loads(self.line())
        return report


class Watched:
    """A service that is watched, its database, and a probe that views and creates."""

    def __init__(self, service: Program, probe: Program, stored: Stored) -> None:
        self._service, self._probe = service, probe
        self.stored = stored

    def run(self, case: Case, encoding: str) -> Outcome:
        """Send a case that accepts this encoding, and report what has been seen meanwhile."""
        asks = [case.ask(self.stored).accepting(encoding) for _ in range(case.at_once)]
        statuses: list[int] = []
        callers = [
            threading.Thread(target=timed, args=(self.stored.port, ask, statuses)) for ask in asks
        ]
        self._service.report()
        self._probe.report()
        start = time.perf_counter()
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        own = time.perf_counter() - start
        time.sleep(LINGER)
        (view, wrong_views), (create, wrong_creates) = self._probe.report()
        seen = self._service.report()
        return Outcome(statuses, own, view, create, wrong_views + wrong_creates, **seen)


@contextmanager
def watched(folder: Path, mode: str, links: int) -> Iterator[Watched]:
    """Serve a new database with the worst that may be stored; keep no rendering."""
    key = new_key(folder)
    limits = ("LOOKUP_RATE_LIMIT", "PASSWORD_RATE_LIMIT", "CREATE_RATE_LIMIT")
    settings = dict.fromkeys(limits, 10**6) | {"LOG_LEVEL": "warning", "RENDER_CACHE": 0}
    with ExitStack() as stack:
        errors = stack.enter_context((folder / "serve.log").open("w"))
        service = Program(
            stack, HERE / "served.py", mode, env=environment(folder, **settings), stderr=errors
        )
        stored = Stored(service.line(), folder / "test.sqlite3", key, links)
        stored.fill()
        probed = stored.share("probe")["share_hash"]
        probe = Program(stack, HERE / "probe.py", stored.port, probed, "probe", key, PAUSES[mode])
        yield Watched(service, probe, stored)
