"""The system's Chromium, and a running service for it to visit."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from support.process import Server, request

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running Chromium. Without one the test is skipped, or fails on the machine of a build."""
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("CI has no Chromium", pytrace=False)
        pytest.skip("there is no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


class Site:
    """A running service with a key, and what it takes to fill it."""

    def __init__(self, server: Server, key: str) -> None:
        self.url = server.url
        self.key = key

    def api(self, method: str, path: str, body: object = None) -> Any:
        return json.loads(request(method, f"{self.url}/api{path}", body, Authorization=self.key)[1])

    def share(self, job_id: str, export: dict[str, Any], **fields: object) -> str:
        """Put a video and share it; returns the address of its page."""
        self.api("PUT", f"/videos/{job_id}", export)
        report = self.api("POST", "/shared-reports", {"video_id": job_id} | fields)
        return f"{self.url}/r/{report['share_hash']}"
