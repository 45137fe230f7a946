"""A served database with a video and a link, for the tests of faults."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

from support.process import PATIENCE, Server, await_true, new_key, run, serving

PAGE = 4096
BODY = {"video_id": "job-1"}
BOUND = 7.0  # seconds in which every refusal has come; one wait for a lock takes five


class Served:
    """A serving process with a video and a link, and a connection to it that is kept."""

    def __init__(self, folder: Path, server: Server, key: str) -> None:
        self.file = folder / "test.sqlite3"
        self.server = server
        host, port = server.url.removeprefix("http://").split(":")
        self.address = (host, int(port))
        self.key = key
        self.connection = self.connect()
        assert self.call("PUT", "/api/videos/job-1", {"video_name": "x"})[0] == 201
        self.link = self.create()["share_hash"]

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self.address, timeout=PATIENCE)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        connection: http.client.HTTPConnection | None = None,
    ) -> tuple[int, Any, str | None]:
        """Returns the status, the body's JSON and Retry-After."""
        connection = connection or self.connection
        connection.request(
            method, path, json.dumps(body) if body else None, {"Authorization": self.key}
        )
        answer = connection.getresponse()
        raw = answer.read()
        is_json = "json" in answer.headers["Content-Type"]
        return answer.status, json.loads(raw) if is_json else raw, answer.headers["Retry-After"]

    def create(self) -> Any:
        status, link, _ = self.call("POST", "/api/shared-reports", BODY)
        assert status == 201, link
        return link

    def view(self, share_hash: str) -> int:
        return self.call("GET", f"/api/shared-reports/{share_hash}")[0]

    def links(self) -> set[str]:
        status, links, _ = self.call("GET", "/api/videos/job-1/shared-reports")
        assert status == 200, links
        return {link["share_hash"] for link in links}

    def failing(self) -> dict[str, str]:
        status, health, _ = self.call("GET", "/readyz")
        checks = {name: said for name, said in health["checks"].items() if said != "ok"}
        assert (status == 503) == bool(checks)
        return checks

    def refused(self) -> str:
        """Reads go on, writes are refused in time; returns what readiness says of writing."""
        began = time.monotonic()
        for method, path, body in (
            ("POST", "/api/shared-reports", BODY),
            ("PUT", "/api/videos/job-1", {"video_name": "changed"}),
            ("DELETE", "/api/shared-reports/1", None),
        ):
            status, problem, retry_after = self.call(method, path, body)
            assert (status, retry_after) == (503, "1"), problem
            assert problem["type"] == "urn:shared-reports:problem:unavailable"
            assert "sqlite" not in json.dumps(problem).lower()
        assert time.monotonic() - began < BOUND
        self.reads_go_on()
        failing = self.failing()
        assert "database_read" not in failing
        return failing["database_write"]

    def reads_go_on(self) -> None:
        assert self.view(self.link) == 200
        assert self.call("GET", f"/r/{self.link}")[0] == 200
        assert self.link in self.links()
        assert self.call("GET", "/livez")[0] == 200

    def is_well(self) -> None:
        """It does all its work, and soon says so."""
        link = self.create()
        assert self.view(link["share_hash"]) == 200
        assert self.call("DELETE", f"/api/shared-reports/{link['id']}")[0] == 200
        assert self.view(link["share_hash"]) == 404
        await_true(lambda: not self.failing(), "readiness")

    def stops_well(self) -> None:
        """It ends by itself when it is told to, and leaves a sound file."""
        assert self.server.stop()[0] == 0
        assert "Traceback" not in self.server.log.read_text()
        checked = run("check", folder=self.file.parent)
        assert checked.returncode == 0, checked.stdout

    def faults(self) -> list[str]:
        return [each["error"] for each in self.server.events() if each["event"] == "database fault"]


Serve = Callable[..., AbstractContextManager[Served]]


def serve_in(tmp_path: Path) -> Serve:
    @contextmanager
    def serve(folder: Path = tmp_path) -> Iterator[Served]:
        key = new_key(folder)
        with serving(folder) as server:
            service = Served(folder, server, key)
            with closing(service.connection):
                yield service

    return serve
