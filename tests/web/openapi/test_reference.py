"""The page on which people read what the API is."""

import base64
import hashlib
import json
import os
import re
import shlex
import subprocess
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

from support.harness import Caller, Start
from support.openapi import OPERATIONS
from support.process import PATIENCE, new_key, serving

from service.app import ROUTES
from service.config import Config
from service.web.problems import STATUS

NAMES = {operation["operationId"] for operation in OPERATIONS.values()}


class Page(HTMLParser):
    """What the tests look at of a page: ids, links, headings, code, and what it would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.headings: list[int] = []
        self.loads: list[str] = []
        self.landmarks: list[str] = []
        self.blocks: list[str] = []
        self._block: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.links += [values["href"] or ""] if "href" in values else []
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        inside = (values.get("href") or "").startswith("data:")  # the icon is in the page itself
        if tag in {"script", "link", "img", "iframe", "form"} or "src" in values:
            self.loads += [] if inside else [tag]
        if tag in {"header", "nav", "main"}:
            self.landmarks.append(tag)
        if tag == "pre":
            self._block = ""

    def handle_data(self, data: str) -> None:
        if self._block is not None:
            self._block += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre" and self._block is not None:
            self.blocks.append(self._block)
            self._block = None


async def test_reference_shows_every_call_with_a_curl_command(public: Caller) -> None:
    answer = await public.get("/docs")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    html = answer.body.decode()
    page = Page(html)
    base = str(public.client.make_url("")).rstrip("/")
    assert sum(block.startswith("curl ") and base in block for block in page.blocks) == len(ROUTES)
    for route in ROUTES:
        assert f"<code>{route.path}</code>" in html, route.path
    for operation in OPERATIONS.values():
        assert operation["operationId"] in page.ids
    for error in STATUS:
        assert error.code in page.ids


async def test_reference_is_one_well_structured_page(public: Caller) -> None:
    page = Page((await public.get("/docs")).body.decode())
    assert len(set(page.ids)) == len(page.ids)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert page.headings[0] == 2  # the contents stand before the title
    assert page.headings.count(1) == 1
    after = page.headings[page.headings.index(1) :]
    assert all(low - high <= 1 for high, low in pairwise(after))
    assert page.landmarks == ["header", "nav", "main"]


async def test_reference_loads_nothing_and_allows_its_own_style(public: Caller) -> None:
    answer = await public.get("/docs")
    page = Page(answer.body.decode())
    assert page.loads == []
    html = answer.body.decode()
    assert " style=" not in html
    policy = answer.headers["Content-Security-Policy"]
    [style] = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    style_hash = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{style_hash}'" in policy
    assert "default-src 'none'" in policy
    assert "script" not in policy


async def test_reference_commands_use_the_public_address(start: Start, config: Config) -> None:
    public = Config(database=config.database, base_url="https://reports.example.com/v1")
    body = (await (await start(config=public)).public.get("/docs")).body.decode()
    assert "curl https://reports.example.com/v1/livez" in body


async def test_reference_escapes_a_hostile_host(public: Caller) -> None:
    answer = await public.get("/docs", headers={"Host": "x';<script>alert(1)</script>;'"})
    html = answer.body.decode()
    assert "<script" not in html
    for block in Page(html).blocks:
        if block.startswith("curl "):
            words = shlex.split(block)
            assert any("x';<script>alert(1)</script>;'" in word for word in words), block


def test_reference_commands_work_when_pasted(tmp_path: Path) -> None:
    """Each of them, in a shell, in the order of a link's life, with the ids that were given."""
    key = new_key(tmp_path)
    with serving(tmp_path) as server:
        html = subprocess.run(
            ["curl", "-s", f"{server.url}/docs"], capture_output=True, text=True, check=True
        ).stdout
        lines = [block for block in Page(html).blocks if block.startswith("curl ")]
        names = [name for name in re.findall(r'<article id="(\w+)"', html) if name in NAMES]
        by_call = dict(zip(names, lines, strict=True))
        order = ["putVideo", "createSharedReport", "createApiKey", "createWebhook", "testWebhook"]
        last = ["changeSharedReport", "rotateSharedReport", "revokeSharedReport"]
        last += ["revokeSharedReports", "deleteVideo", "deleteApiKey", "deleteWebhook"]
        order += [name for name in by_call if name not in {*order, *last}] + last
        share_hash = "xK9mP2qR7wLnY4vB"
        for name in order:
            line = by_call[name].replace("xK9mP2qR7wLnY4vB", share_hash)
            line = line.replace("/api/keys/1", "/api/keys/2")  # the first is the one that calls
            answer = paste(line, key)
            if name == "createSharedReport":
                share_hash = json.loads(answer)["share_hash"]
            assert answer or name in {"openReport", "downloadSubtitles"}, name  # no cues


def paste(line: str, key: str) -> str:
    shell = subprocess.run(
        ["sh", "-c", line.replace("curl ", "curl -sSf ", 1)],
        env=os.environ | {"LVZ_KEY": key},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert shell.returncode == 0, (line, shell.stderr)
    return shell.stdout
