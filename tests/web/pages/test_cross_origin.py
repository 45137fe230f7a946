"""Calls from a page of another origin, in a real browser."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest
from playwright.sync_api import Browser
from support.browser import Site, chromium
from support.process import new_key, serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


class Elsewhere:
    """An origin of its own, with an empty page."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), EmptyPage)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class EmptyPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


FETCH = """async ([url, options]) => {
  try {
    const answer = await fetch(url, options);
    const read = (name) => answer.headers.get(name);
    return {
      status: answer.status,
      id: read('X-Request-ID') !== null,
      link: read('Link'),
      location: read('Location'),
      server: read('Server'),
      body: await answer.json(),
    };
  } catch (error) { return {failed: error.name}; }
}"""
FAILED = {"failed": "TypeError"}


@pytest.mark.parametrize("allowed", ["listed", "*", None])
def test_page_of_another_origin_calls_what_cors_allows(
    tmp_path: Path, browser: Browser, allowed: str | None
) -> None:
    """A plain call, a call with a key, which the browser asks about before, and a wrong key."""
    key = new_key(tmp_path)
    page = browser.new_page()
    with Elsewhere() as elsewhere:
        origins = elsewhere.url if allowed == "listed" else allowed
        settings = {"CORS_ORIGINS": origins} if origins else {}
        with serving(tmp_path, **settings) as server:
            site = Site(server, key)
            address = site.share("a1b2c3d4", {"name": "Sample"}).replace(
                "/r/", "/api/shared-reports/"
            )

            def fetch(url: str, **options: object) -> Any:
                return page.evaluate(FETCH, [url, options])

            page.goto(elsewhere.url)
            public = fetch(address)
            created = fetch(
                f"{server.url}/api/shared-reports",
                method="POST",
                body=json.dumps({"video_id": "a1b2c3d4"}),
                headers={"Authorization": key, "Content-Type": "application/json"},
            )
            wrong = fetch(f"{server.url}/api/videos", headers={"Authorization": "x"})
            with_cookies = fetch(address, credentials="include")
            metrics = fetch(f"{server.url}/livez")
    page.close()
    if allowed is None:
        assert public == FAILED
    else:
        assert (public["status"], public["id"], public["server"]) == (200, True, None)
        assert public["body"]["video"]["name"] == "Sample"
    if allowed == "listed":
        assert (created["status"], wrong["status"]) == (201, 401)
        assert created["location"].endswith(created["body"]["share_hash"])
        assert created["link"].startswith(f"<{server.url}/r/")
    else:
        assert created == wrong == FAILED
    assert with_cookies == metrics == FAILED
