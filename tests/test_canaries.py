"""Canaries: what must not get out is planted, and all that the process emits is searched for it."""

import http.client
import json
import socket
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from support.process import PATIENCE, Server, new_key, request, serving

from service.app import CONSOLE_ROUTES, ROUTES

USER_ID = "0ca9a21e-5ca9-4a21-8ca9-a21e0ca9a21e"
SECRETS = {
    "user id": USER_ID,
    "storage path": "/canary/storage/of/the/video.mp4",
    "project id": "canary-project",
    "file name": "canary-file-name",
    "password": "canary-password",
}


@dataclass
class Planted:
    """A service with a video and links, whose secrets all have names."""

    server: Server
    key: str
    shown: str
    """The hash of the link that is viewed."""
    locked: str
    """The hash of one that asks for a password."""
    secrets: dict[str, str]
    values: dict[str, str]
    """What goes into the places of the routes' paths."""

    def ask(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, str, bytes]:
        """Ask; returns the status, the head and the body."""
        host, port = self.server.url.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        head, content = str(response.headers), response.read()
        connection.close()
        return response.status, head, content


def plant(server: Server, key: str) -> Planted:
    def call(method: str, path: str, body: object) -> Any:
        return json.loads(request(method, server.url + path, body, Authorization=key)[1])

    video = {
        "name": "shown",
        "storage_path": SECRETS["storage path"],
        "project_id": SECRETS["project id"],
        "file_name": SECRETS["file name"],
        "segments": [{"module": "scenes", "start_time": 0, "end_time": 1, "content": "…"}],
    }
    assert call("PUT", "/api/videos/job-1", video)["storage_path"] == SECRETS["storage path"]
    shown, other = (call("POST", "/api/shared-reports", {"video_id": "job-1"}) for _ in range(2))
    terms = {"video_id": "job-1", "password": SECRETS["password"], "max_views": 1000}
    locked = call("POST", "/api/shared-reports", terms)["share_hash"]
    unlocking = {"password": SECRETS["password"]}
    token = call("POST", f"/api/shared-reports/{locked}/unlock", unlocking)["token"]
    spare = call("POST", "/api/keys", {"name": "spare"})
    hook = call("POST", "/api/webhooks", {"url": "https://hooks.invalid/"})
    tried = call("POST", f"/api/webhooks/{hook['id']}/test", None)
    secrets = SECRETS | {
        "webhook": hook["secret"],
        "key": key,
        "other key": spare["raw_key"],
        "other link": other["share_hash"],
        "token": token,
    }
    values = {
        "share_hash": shown["share_hash"],
        "job_id": "job-1",
        "report_id": other["id"],
        "key_id": spare["id"],
        "webhook_id": hook["id"],
        "delivery_id": tried["id"],
    }
    return Planted(server, key, shown["share_hash"], locked, secrets, values)


def leaks(text: str, secrets: dict[str, str]) -> set[str]:
    return {name for name, secret in secrets.items() if secret in text}


def test_canaries_appear_in_no_output(tmp_path: Path) -> None:
    key = new_key(tmp_path, USER_ID)
    with serving(tmp_path, LOG_LEVEL="debug", SLOW_QUERY_SECONDS=0) as server:
        planted = plant(server, key)
        check_public(planted)
        check_locked(planted)
        # The link's own hash is known to who asks for it; nobody else may learn it.
        planted.secrets["link"] = planted.shown
        use_console(planted)
        provoke(planted)
        check_metrics(planted)
        break_the_database(tmp_path, planted)
        assert server.stop()[0] == 0
        log = server.log.read_text() + server.output.read()
    assert "Traceback" in log  # the fault of ours has been logged
    assert len(log.splitlines()) > 2 * len(ROUTES)
    assert leaks(log, planted.secrets) == set()


def check_public(planted: Planted) -> None:
    """Every public call, as programs and as people make it, for a link and for none."""
    for route in ROUTES:
        if route.owned:
            continue
        for accept in ("*/*", "text/html"):
            for share_hash in (planted.shown, "A" * 16):
                path = route.path.format(share_hash=share_hash)
                _, head, body = planted.ask(route.method, path, Accept=accept)
                text = head + body.decode(errors="replace")
                assert leaks(text, planted.secrets) == set(), path


def check_locked(planted: Planted) -> None:
    """A link that asks for a password, tried with everything but the one it has, and with that."""
    password, token = planted.secrets["password"], planted.secrets["token"]
    for route in ROUTES:
        if "{share_hash}" not in route.path:
            continue
        path = route.path.format(share_hash=planted.locked)
        for wrong in ("", "x", f"{password}x", planted.shown):
            for headers in ({}, {"X-Share-Token": f"{token}x"}, {"Cookie": f"share_token={wrong}"}):
                status, head, body = planted.ask(
                    route.method, path, {"password": wrong}, Accept="*/*", **headers
                )
                assert status in {401, 429}
                text = head + body.decode(errors="replace")
                assert "shown" not in text, path
                assert leaks(text, planted.secrets) == set(), path
        status, head, body = planted.ask(
            route.method, f"{path}?x={token}", {"password": password}, **{"X-Share-Token": token}
        )
        assert status in {200, 303, 429}
        assert password not in head + body.decode(errors="replace")


def use_console(planted: Planted) -> None:
    """Sign in, and load every page of the console; the session joins the secrets."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    _, head, page = planted.ask("GET", "/console/sign-in")
    visitor = head.partition("Set-Cookie: ")[2].partition(";")[0]
    fields = urlencode({"csrf": token_of(page), "key": planted.key}).encode()
    status, head, _ = planted.ask("POST", "/console/sign-in", fields, Cookie=visitor, **form)
    assert status == 303
    session = head.partition("Set-Cookie: ")[2].partition(";")[0]
    planted.secrets["session"] = session.partition("=")[2]
    videos = json.loads(planted.ask("GET", "/api/videos", Authorization=planted.key)[2])
    values = dict.fromkeys(("webhook_id", "delivery_id", "code"), "1") | planted.values
    hidden = {"key", "session", "password", "token", "storage path", "file name"}
    planted.secrets["form token"] = token_of(planted.ask("GET", "/console/keys", Cookie=session)[2])
    for route in CONSOLE_ROUTES:
        path = route.path.format(**values | {"video_id": videos[0]["id"]})
        if route.method == "GET":
            status, head, page = planted.ask("GET", path, Cookie=session)
            assert status in {200, 303, 404}, path
            assert leaks(head + page.decode(), planted.secrets) & hidden == set(), path
        else:
            assert planted.ask("POST", path, b"csrf=x", Cookie=session, **form)[0] == 403, path


def token_of(page: bytes) -> str:
    return page.decode().partition('name="csrf" value="')[2].partition('"')[0]


def provoke(planted: Planted) -> None:
    """Everything that can be refused, with secrets wherever there is room for one."""
    key, share_hash = planted.key, planted.shown
    for secret in (key, share_hash):
        for method, path in (
            ("GET", f"/{secret}"),
            ("GET", f"/api/shared-reports/{secret}/{secret}"),
            ("GET", f"/r/{secret}/x?module={secret}"),
            ("POST", f"/r/{secret}/x"),
            ("GET", f"/livez?{secret}"),
        ):
            status, head, body = planted.ask(
                method, path, Referer=f"http://x/r/{secret}", Cookie=secret, Host=secret
            )
            assert status in {200, 404, 405}
            assert leaks(head + body.decode(), planted.secrets) == set(), path
        raw(planted, f"GET /{secret} {secret} HTTP/1.1\r\n\r\n")
        raw(planted, f"GET /r/{secret} HTTP/1.1\r\nHost: x\r\n{secret}\r\n\r\n")
        raw(planted, f"GET /docs HTTP/1.1\r\nHost: {secret}<\r\nConnection: close\r\n\r\n")
        raw(planted, f"{secret}\r\n\r\n")
    for route in ROUTES:
        if route.owned:
            for sent in (None, {"name": share_hash, "share_hash": share_hash, key: key}):
                path = route.path.format(**dict.fromkeys(planted.values, share_hash))
                for authorization in (key, f"Bearer {key}", f"Basic {key}", f"{key}x"):
                    _, _, answer = planted.ask(
                        route.method, path, sent, Authorization=authorization
                    )
                    assert key not in answer.decode()


def raw(planted: Planted, text: str) -> None:
    host, port = planted.server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as client:
        client.sendall(text.encode())
        answer = client.recv(2**16).decode()
    assert answer[8:13] == " 400 "
    assert leaks(answer, planted.secrets) == set()


def check_metrics(planted: Planted) -> None:
    status, _, body = planted.ask("GET", "/metrics")
    assert status == 200
    assert leaks(body.decode(), planted.secrets) == set()


def break_the_database(folder: Path, planted: Planted) -> None:
    """A fault of ours on every call that needs the database."""
    for table in ("shared_reports", "videos"):
        rename(folder, table, f"broken_{table}")
    for route in ROUTES:
        if not {"keys", "webhooks"} & set(route.path.split("/")) and "{" in route.path:
            status, head, body = planted.ask(
                route.method, route.path.format(**planted.values), Authorization=planted.key
            )
            assert status in {302, 400, 500}, route.path
            assert leaks(head + body.decode(), planted.secrets) == set(), route.path
    for table in ("shared_reports", "videos"):  # so that the end is a clean one
        rename(folder, f"broken_{table}", table)


def rename(folder: Path, table: str, name: str) -> None:
    with sqlite3.connect(folder / "test.sqlite3", timeout=PATIENCE) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME TO {name}")
    connection.close()
