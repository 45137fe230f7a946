"""The image of deploy/Containerfile, started as it is meant to run: see `make image`.

Its root is mounted read-only, and its user has no rights. No container engine is needed for that,
so that it runs within a container, too.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.process import PATIENCE, await_true, get, request

from service import __version__

pytestmark = pytest.mark.slow

IMAGE = "localhost/shared-reports"
USER = "10001:10001"
START = """
mount --bind "$0" "$0"
mount -o remount,bind,ro "$0"
mount --bind "$1" "$0/data"
mount --rbind /dev "$0/dev"
shift
in_data='cd /data && exec "$0" "$@"'
exec chroot --userspec=10001:10001 "$ROOT" env -i $ENVIRONMENT sh -c "$in_data" "$@"
"""


def buildah(*arguments: str) -> str:
    made = subprocess.run(["buildah", *arguments], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"the image is not built here (`make image`): {made.stderr}")
    return made.stdout.strip()


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    """What the image says of itself."""
    if shutil.which("buildah") is None or os.geteuid() != 0:
        pytest.skip("needs buildah, and root")
    described: dict[str, Any] = json.loads(buildah("inspect", "--type", "image", IMAGE))["Docker"]
    return described


@pytest.fixture(scope="module")
def root(settings: dict[str, Any]) -> Iterator[str]:
    """The mounted files of the image."""
    assert settings
    container = buildah("from", "--pull-never", IMAGE)
    yield buildah("mount", container)
    buildah("rm", container)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The volume. Its parents are for everyone, as the user in the container is another one."""
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, *map(int, USER.split(":")))
    return folder


def command(root: str, data: Path, settings: dict[str, Any], *arguments: str) -> list[str]:
    """The command line that runs a command in the image, and its own where none is given."""
    words = list(arguments or settings["config"]["Cmd"])
    return ["unshare", "--mount", "sh", "-ec", START, root, str(data), *words]


def environment(root: str, settings: dict[str, Any], **changes: object) -> dict[str, str]:
    given = [f"SHARED_REPORTS_{name}={value}" for name, value in changes.items()]
    variables = [line for line in settings["config"]["Env"] if " " not in line]
    return {"PATH": os.environ["PATH"], "ROOT": root, "ENVIRONMENT": " ".join(variables + given)}


def test_image_says_what_it_is_and_runs_as_nobody(settings: dict[str, Any]) -> None:
    config = settings["config"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert config["User"] == USER
    assert config["Healthcheck"]["Test"] == ["CMD", "shared-reports", "healthcheck"]
    assert config["Volumes"] == {"/data": {}}
    assert list(config["ExposedPorts"]) == ["8080/tcp"]


def test_image_serves_from_a_read_only_root(
    root: str, data: Path, settings: dict[str, Any]
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    env = environment(root, settings, PORT=port, HOST="127.0.0.1")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = command(root, data, settings, *arguments)
        return subprocess.run(line, env=env, capture_output=True, text=True, check=False)

    assert run("touch", "/opt/x").stderr.endswith("Read-only file system\n")
    assert run("id", "-u").stdout == "10001\n"
    user = ("--user", f"{1:032}", "--name", "x")
    key = run("shared-reports", "keys", "create", *user).stdout.strip()
    with subprocess.Popen(command(root, data, settings), env=env, stderr=subprocess.PIPE) as server:
        try:
            healthy = ("shared-reports", "healthcheck")
            await_true(lambda: run(*healthy).returncode == 0, "the health check")
            url = f"http://127.0.0.1:{port}/api"
            made = request("PUT", f"{url}/videos/job-1", {"video_name": "x"}, Authorization=key)
            assert made[0] == 201
            reports = f"{url}/shared-reports"
            link = json.loads(request("POST", reports, {"video_id": "job-1"}, Authorization=key)[1])
            assert get(f"{reports}/{link['share_hash']}")[0] == 200
            assert request("DELETE", f"{reports}/{link['id']}", Authorization=key)[0] == 200
            assert get(f"{reports}/{link['share_hash']}")[0] == 404
        finally:
            server.send_signal(signal.SIGTERM)
            _, log = server.communicate(timeout=PATIENCE)
    assert server.returncode == 0, log
    assert {path.stat().st_uid for path in data.iterdir()} == {10001}
