"""A service that is killed again and again tells of each link at least once, and of no other."""

import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.process import await_true, new_key, request, serving

KILLS = 8
USER = f"{1:032}"


class Kept(BaseHTTPRequestHandler):
    """Keeps the bodies that it gets."""

    protocol_version = "HTTP/1.1"
    got: list[Any]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.headers["webhook-id"], json.loads(body)))
        self.send_response(204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def got() -> Iterator[tuple[str, list[Any]]]:
    messages: list[Any] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Kept,), {"got": messages}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", messages
    server.shutdown()
    server.server_close()
    thread.join()


def share(url: str, key: str) -> str | None:
    """Create a link; returns its id if that was acknowledged."""
    body = {"video_id": "job-1"}
    try:
        status, answer = request("POST", f"{url}/api/shared-reports", body, Authorization=key)
    except OSError:
        return None
    return str(json.loads(answer)["id"]) if status == 201 else None


@pytest.mark.timeout(120)
def test_deliveries_survive_kills(tmp_path: Path, got: tuple[str, list[Any]]) -> None:
    target, messages = got
    key = new_key(tmp_path, USER)
    networks = {"WEBHOOK_NETWORKS": "127.0.0.0/8"}
    acknowledged: set[str] = set()
    with serving(tmp_path, **networks) as server:
        video = {"video_name": "x", "status": "completed"}
        request("PUT", f"{server.url}/api/videos/job-1", video, Authorization=key)
        request("POST", f"{server.url}/api/webhooks", {"url": target}, Authorization=key)
    for _ in range(KILLS):
        with serving(tmp_path, **networks) as server, ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(share, server.url, key) for _ in range(200)]
            time.sleep(random.uniform(0.05, 0.4))
            server.process.kill()
            server.process.wait()
            acknowledged |= {made for call in calls if (made := call.result()) is not None}
    with serving(tmp_path, **networks) as server:
        listed = request(
            "GET", f"{server.url}/api/webhooks/1/deliveries?limit=1", Authorization=key
        )
        await_true(
            lambda: acknowledged <= {message["data"]["id"] for _, message in list(messages)},
            "every acknowledged link was told of",
        )
        path = "/api/videos/job-1/shared-reports"
        links = json.loads(request("GET", f"{server.url}{path}", Authorization=key)[1])
    assert listed[0] == 200
    assert len(acknowledged) > KILLS
    told = {message["data"]["id"] for _, message in messages}
    assert told <= {link["id"] for link in links}
    by_link = {message["data"]["id"]: name for name, message in messages}
    assert {(name, message["data"]["id"]) for name, message in messages} == {
        (name, link) for link, name in by_link.items()
    }  # what came twice has the same id
