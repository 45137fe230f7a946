"""The statements that a service makes, whatever its engine."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest

from service.repositories.postgresql.engine.worker import Worker
from service.repositories.sqlite.engine.read_connection import ReadConnection
from service.repositories.sqlite.engine.statements import statement_name
from service.repositories.sqlite.engine.worker import ConnectionWorker


class Finished(NamedTuple):
    """A statement that has finished: its rows, or how many rows it has changed."""

    name: str
    parameters: Mapping[str, Any]
    result: Any


class Statements:
    """The statements of all connections from here on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.started: list[str] = []
        """The name of each, look-ups and batches included."""
        self.finished: list[Finished] = []
        """Those of the workers, without batches."""
        self.on_start: Callable[[str], None] = lambda _name: None
        self._patch = monkeypatch.setattr
        for worker in (ConnectionWorker, Worker):
            for method in ("execute", "fetch_all"):
                self._watch(worker, method)
        for owner, methods in {
            ConnectionWorker: ("execute", "fetch_all", "submit"),
            ReadConnection: ("fetch_all", "get_cached"),
            Worker: ("run", "submit"),  # the other methods call these
        }.items():
            for method in methods:
                self._name(owner, method)

    def _watch(self, owner: type, method: str) -> None:
        original = getattr(owner, method)

        def watched(worker: object, statement: Any, **parameters: Any) -> Any:
            name = name_of(statement)

            def finish(future: Any) -> None:
                if not future.cancelled() and future.exception() is None:
                    self.finished.append(Finished(name, parameters, future.result()))

            future = original(worker, statement, **parameters)
            future.add_done_callback(finish)
            self.on_start(name)
            return future

        self._patch(owner, method, watched)

    def _name(self, owner: type, method: str) -> None:
        original = getattr(owner, method)

        def named(worker: object, statement: Any, *arguments: Any, **parameters: Any) -> Any:
            self.started.append(name_of(statement))
            return original(worker, statement, *arguments, **parameters)

        self._patch(owner, method, named)

    def results(self, name: str) -> list[Any]:
        """What each statement of this name has returned."""
        return [finished.result for finished in self.finished if finished.name == name]

    def scanned(self, name: str) -> list[int]:
        """How many ids, up to 11, each statement of a list that was bounded has looked at."""
        return [
            min(finished.parameters["before"], 12) - finished.parameters["until"]
            for finished in self.finished
            if finished.name.startswith(name) and finished.parameters["until"] is not None
        ]


def name_of(statement: Any) -> str:
    """The name of a statement in the logs."""
    if isinstance(statement, str):
        return statement_name(statement) if statement.startswith("--") else statement
    return str(getattr(statement, "statement", statement).name)
