"""Strangers' programs meet the real service: they know nothing of it but its OpenAPI document.

``run.py schemathesis`` lets schemathesis try to prove the document wrong; ``run.py client`` has a
client generated from the document and makes the four calls of a shared report with it. What
stands behind ``schemathesis`` is handed on to it: ``--max-examples=1000``, ``--seed=1``.
"""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from support.process import Server, get, new_key, serving  # noqa: E402 - the tests are no package

from service.app import ROUTES  # noqa: E402 - after the path is set
from service.web.openapi.examples import JOB_ID  # noqa: E402 - after the path is set

BIN = HERE.parent.parent / ".venv/strangers/bin"
OTHERS_KEYS = 150
VIDEO = {
    "video_name": "Product Demo",
    "segments": [{"module": "scenes", "start_time": 0, "end_time": 4.2}],
}


def call(server: Server, key: str, method: str, path: str, body: object) -> Any:
    request = urllib.request.Request(
        server.url + path,
        json.dumps(body).encode(),
        {"Authorization": key, "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def share(server: Server, key: str, job_id: str) -> Any:
    """Put a video and create a link to it."""
    call(server, key, "PUT", f"/api/videos/{job_id}", VIDEO)
    return call(server, key, "POST", "/api/shared-reports", {"video_id": job_id})


def schemathesis(server: Server, key: str, folder: Path) -> None:
    """Fail where schemathesis finds anything, or has not got far enough to find anything.

    It deletes what it can, and the examples first: so there is a video and a link to delete, its
    key is a late one, and the link that it views is another user's.
    """
    for _ in range(OTHERS_KEYS):
        call(server, key, "POST", "/api/keys", {"name": "other"})
    other, key = key, new_key(folder, f"{2:032}")
    share(server, key, JOB_ID)
    share(server, key, "shared")
    report = share(server, other, "kept")
    before = len(server.events())
    subprocess.run(
        [
            BIN / "schemathesis",
            f"--config-file={HERE / 'schemathesis.toml'}",
            "run",
            f"{server.url}/openapi.json",
            f"--header=Authorization: {key}",
            "--checks=all",
            "--no-color",
            "--seed=1",  # a build fails by what was changed, not by chance
            *sys.argv[2:],
        ],
        cwd=folder,  # where it may leave what it has found
        env=os.environ | {"SHARE_HASH": report["share_hash"]},
        check=True,
        timeout=150,
    )
    assert get(f"{server.url}/api/keys", Authorization=key)[0] == 200, "its key is lost"
    succeeded = {
        (event["method"], event["route"])
        for event in server.events()[before:]
        if event["event"] == "request" and event["status"] < 400
    }
    refused = {(route.method, route.path) for route in ROUTES} - succeeded
    assert not refused, f"nothing but refusals from {refused}"


def client(server: Server, key: str, folder: Path) -> None:
    """Fail where the client can't be generated without a warning, or its calls don't work."""
    (folder / "openapi.json").write_bytes(get(f"{server.url}/openapi.json")[1])
    # The generator knows no pictures and no subtitles; in SVG and in SubRip they are text.
    texts = "{image/svg+xml: text/plain, application/x-subrip: text/plain}"
    (folder / "config.yaml").write_text(f"post_hooks: []\ncontent_type_overrides: {texts}\n")
    subprocess.run(
        [
            BIN / "openapi-python-client",
            "generate",
            *("--path", "openapi.json", "--config", "config.yaml"),
            *("--meta", "none", "--output-path", "shared_reports_client", "--fail-on-warning"),
        ],
        cwd=folder,
        check=True,
        timeout=60,
    )
    subprocess.run(
        [BIN / "python", HERE / "client.py", server.url, key],
        env=os.environ | {"PYTHONPATH": str(folder)},
        check=True,
        timeout=60,
    )


if __name__ == "__main__":
    with TemporaryDirectory() as name:
        key = new_key(Path(name))
        # What is made up is nearly always a guess, and there are thousands of them.
        with serving(Path(name), LOOKUP_RATE_LIMIT="off", CREATE_RATE_LIMIT="off") as server:
            {"schemathesis": schemathesis, "client": client}[sys.argv[1]](server, key, Path(name))
