"""The Caddyfile of docs/deployment.md, in a real Caddy in front of the service."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.deployed import found, free_port
from support.docs import ROOT
from support.process import PATIENCE, await_true, get, new_key, request, serving


@contextmanager
def caddy(folder: Path, path: Path) -> Iterator[str]:
    """Run Caddy on another port, without its certificate, in front of a Unix socket."""
    command = found("caddy", "caddy")
    url = f"http://127.0.0.1:{free_port()}"
    site = (ROOT / "deploy/Caddyfile").read_text()
    for written, ours in {
        "reports.example.com": url,
        "/run/shared-reports/http.sock": str(path),
        "{\n\tlog": "{\n\tadmin off\n\tlog",
    }.items():
        assert written in site
        site = site.replace(written, ours)
    (folder / "Caddyfile").write_text(site)
    with (folder / "caddy.log").open("w") as errors:
        process = subprocess.Popen(
            [command, "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"],
            env=os.environ | {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
            stderr=errors,
        )
    try:
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE)


def answers(url: str) -> bool:
    try:
        return get(url)[0] == 200
    except OSError:
        return False


def test_caddy_in_front_over_the_unix_socket(tmp_path: Path) -> None:
    """It takes large bodies, keeps metrics from the public, and logs no share hash of a failure."""
    key = new_key(tmp_path)
    path = tmp_path / "http.sock"
    with caddy(tmp_path, path) as url:
        with serving(tmp_path, UNIX_SOCKET=path, TRUSTED_PROXIES="unix") as server:
            await_true(lambda: answers(f"{url}/readyz"), "Caddy")
            video = b'{"video_name": "x"}' + b" " * 2**21
            assert request("PUT", f"{url}/api/videos/job-1", video, Authorization=key)[0] == 201
            headers = {"Authorization": key, "X-Forwarded-For": "6.6.6.6"}
            reports, body = f"{url}/api/shared-reports", {"video_id": "job-1"}
            share_hash = json.loads(request("POST", reports, body, **headers)[1])["share_hash"]
            assert get(f"{reports}/{share_hash}")[0] == 200
            assert get(f"{url}/metrics")[0] == 403
            assert server.stop()[0] == 0
            requests = [event for event in server.events() if event["event"] == "request"]
            assert {event["client"] for event in requests} == {"127.0.0.1"}
            assert all(len(event["request_id"]) == 36 for event in requests)
        assert get(f"{reports}/{share_hash}")[0] == 502
    log = (tmp_path / "caddy.log").read_text()
    assert "serving initial configuration" in log
    assert share_hash not in log
