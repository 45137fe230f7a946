"""The Nu HTML checker reads every kind of page: ``pages.py VNU_JAR``.

It prints an error or a warning with its place, and the exit code is 1 if there is one.
"""

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.film import film
from support.harness import SAMPLE
from support.process import PATIENCE, Server, get, new_key, request, serving

from service.app import CONSOLE_ROUTES

HOSTILE = "<b>\"&amp;'\u0001\u202e</b>" * 4


QUERIES = {
    "last-page": "page=99",
    "search": urlencode({"q": HOSTILE[:30]}),
    "nothing-found": urlencode({"q": "zzz", "module": HOSTILE}),
    "zoom": "from=1:00:00&to=2:00:00",
    "unreadable": "from=never",
    "finding": "entry=4500",
    "print": "all=1",
}
"""Queries of the large report, by the names of their pages."""


def large_export() -> dict[str, Any]:
    """An export of many modules and parts, with hostile names, plots and nested metadata."""
    return {
        "name": f"Large {HOSTILE}",
        "duration": 90_000,
        "segments": [
            {
                "module": f"module {n % 9} {HOSTILE}",
                "content": f"{n} {HOSTILE}",
                "start_time": n * 10,
                "end_time": n * 10 + 8,
                "metadata": {"score": n % 7, HOSTILE: [{"box": [1, 2]}, {"": None}]},
            }
            for n in range(9_000)
        ],
    }


class Pages:
    """Fetches every kind of page from a running service."""

    def __init__(self, server: Server, key: str) -> None:
        self.server = server
        self.key = key

    def api(self, method: str, path: str, body: object) -> Any:
        return json.loads(
            request(method, f"{self.server.url}/api/{path}", body, Authorization=self.key)[1]
        )

    def share(self, job_id: str, **fields: object) -> str:
        """Share a video; returns the path of the page."""
        report = self.api("POST", "shared-reports", {"video_id": job_id} | fields)
        return f"/r/{report['share_hash']}"

    def fetch(self) -> Iterator[tuple[str, int, bytes]]:
        """Each kind of page: its name, status and HTML."""
        videos = {
            "small": json.loads(SAMPLE.read_bytes()) | {"job_id": "small"},
            "large": large_export(),
            "film": film(),
            "empty": {"name": "Empty"},
            "waiting": {"name": "Waiting", "status": "processing"},
            "failed": {"name": "Failed", "status": "failed"},
        }
        for job_id, export in videos.items():
            self.api("PUT", f"videos/{job_id}", export)
            yield job_id, *get(self.server.url + self.share(job_id))
        large = self.share("large")
        for name, query in QUERIES.items():
            yield name, *get(f"{self.server.url}{large}?{query}")
        film_page = self.share("film", sender=HOSTILE[:100])
        yield "film-sent", *get(self.server.url + film_page)
        yield "film-search", *get(f"{self.server.url}{film_page}?q=e+a&speaker=Ann+Marsh")
        yield "film-finding", *get(f"{self.server.url}{film_page}?q=e&entry=700")
        locked = self.share("small", password="x")
        yield "password-form", *get(self.server.url + locked)
        yield "wrong-password", *post_form(self.server.url + locked, password="y")
        limited = self.share("small", max_views=1)
        yield "open-form", *get(self.server.url + limited)
        self.api("POST", f"shared-reports/{limited.removeprefix('/r/')}/unlock", {})
        yield "exhausted", *get(self.server.url + limited)
        expiring = self.share("small", expires_at=stamp(time.time() + 2))
        while (page := get(self.server.url + expiring))[0] == 200:
            time.sleep(0.2)
        yield "expired", *page
        yield "not-found", *get(f"{self.server.url}/r/nothing")
        yield from self.fetch_console()
        yield "docs", *get(f"{self.server.url}/docs")

    def fetch_console(self) -> Iterator[tuple[str, int, bytes]]:
        """Each kind of page of the console."""
        console = f"{self.server.url}/console"
        yield "console-sign-in", *get(f"{console}/sign-in")
        browser = build_opener(HTTPCookieProcessor())

        def load(path: str) -> bytes:
            with browser.open(f"{console}/{path}", timeout=PATIENCE) as response:
                page: bytes = response.read()
            return page

        def send(path: str, token: str, **fields: str) -> tuple[int, bytes]:
            data = urlencode({"csrf": token} | fields).encode()
            try:
                with browser.open(f"{console}/{path}", data, PATIENCE) as response:
                    return response.status, response.read()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read()

        send("sign-in", token_of(load("sign-in")), key=self.key)
        link = self.api("POST", "shared-reports", {"video_id": "large", "label": HOSTILE})["id"]
        video = self.api("POST", "shared-reports", {"video_id": "large"})["video_id"]
        self.api("PUT", "events", {"enabled": True})
        webhook = self.api("POST", "webhooks", {"url": "https://hooks.invalid/"})["id"]
        self.api("POST", f"webhooks/{webhook}/test", {})
        self.api("POST", f"shared-reports/{link}/rotate", {})
        values = {"video_id": video, "report_id": link, "webhook_id": webhook, "key_id": "1"}
        for route in CONSOLE_ROUTES:
            if route.method == "GET" and route.needs_session and not route.path.endswith(".svg"):
                path = route.path.format(**values).removeprefix("/console").removeprefix("/")
                name = "-".join(re.findall(r"[a-z_]+", route.path))
                yield name, 200, load(path)
        token = token_of(load("videos"))
        yield "console-form-errors", *send(f"videos/{video}/share", token, label=HOSTILE)
        yield "console-new-key", *send("keys", token, name=HOSTILE)
        yield "console-webhook-errors", *send("webhooks", token, url=HOSTILE)
        yield "console-rejected", *send("keys", "", name="x")


def token_of(page: bytes) -> str:
    return page.decode().partition('name="csrf" value="')[2].partition('"')[0]


def post_form(url: str, **fields: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, urlencode(fields).encode(), PATIENCE) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


STATUSES = (
    {
        "console-form-errors": 422,
        "console-webhook-errors": 422,
        "console-new-key": 201,
        "console-rejected": 403,
    }
    | {"wrong-password": 401, "password-form": 401, "exhausted": 410, "expired": 410}
    | {"not-found": 404}
)


def main(vnu: str) -> int:
    """Check all pages; returns the exit code."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        key = new_key(folder)
        with serving(folder) as server:
            files = []
            for page, status, html in Pages(server, key.strip()).fetch():
                assert status == STATUSES.get(page, 200), (page, status)
                assert html.startswith(b"<!doctype html>"), (page, html[:80])
                files.append(folder / f"{page}.html")
                files[-1].write_bytes(html)
        # It would guess at the language of findings, which may be any.
        command: list[str | Path] = ["java", "-Xss4m", "-jar", vnu, "--no-langdetect", *files]
        result = subprocess.run(command, check=False)
        if result.returncode == 0:
            print(f"{len(files)} pages are valid: {', '.join(file.stem for file in files)}")
        return min(result.returncode, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
