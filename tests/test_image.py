"""The image of deploy/Containerfile, started as it is meant to run: see `make image`.

Its root is mounted read-only, and its user has no rights. No container engine is needed for that,
so that it runs within a container, too.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.deployed import free_port, nginx
from support.docs import ROOT
from support.postgresql import running_server
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
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    """What the image says of itself."""
    if "TEST_IMAGE" not in os.environ:
        pytest.skip("run by `make image`")
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


@contextmanager
def instance(root: str, data: Path, settings: dict[str, Any], **changes: object) -> Iterator[str]:
    """A container of the image that serves; stopped by SIGTERM."""
    port = free_port()
    env = environment(root, settings, PORT=port, HOST="127.0.0.1", **changes)
    with subprocess.Popen(command(root, data, settings), env=env, stderr=subprocess.PIPE) as server:
        try:
            healthy = command(root, data, settings, "shared-reports", "healthcheck")
            check = subprocess.run
            await_true(
                lambda: check(healthy, env=env, check=False).returncode == 0, "it is healthy"
            )
            yield f"127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)
            _, log = server.communicate(timeout=PATIENCE)
    assert server.returncode == 0, log


def test_image_serves_from_a_read_only_root(
    root: str, data: Path, settings: dict[str, Any]
) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = command(root, data, settings, *arguments)
        env = environment(root, settings)
        return subprocess.run(line, env=env, capture_output=True, text=True, check=False)

    assert run("touch", "/opt/x").stderr.endswith("Read-only file system\n")
    assert run("id", "-u").stdout == "10001\n"
    user = ("--user", f"{1:032}", "--name", "x")
    key = run("shared-reports", "keys", "create", *user).stdout.strip()
    with instance(root, data, settings) as address:
        video, reports = (f"http://{address}/api/{name}" for name in ("videos", "shared-reports"))
        body = {"video_name": "x"}
        assert request("PUT", f"{video}/job-1", body, Authorization=key)[0] == 201
        link = json.loads(request("POST", reports, {"video_id": "job-1"}, Authorization=key)[1])
        assert get(f"{reports}/{link['share_hash']}")[0] == 200
        assert request("DELETE", f"{reports}/{link['id']}", Authorization=key)[0] == 200
        assert get(f"{reports}/{link['share_hash']}")[0] == 404
    assert {path.stat().st_uid for path in data.iterdir()} == {10001}


def test_image_serves_twice_behind_nginx_as_in_the_compose_file(
    root: str, data: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    site = (ROOT / "deploy/nginx.conf").read_text()
    port, database_port = free_port(), free_port()
    database = f"postgresql://postgres@127.0.0.1:{database_port}/postgres"
    changes = {"DATABASE": database, "TRUSTED_PROXIES": "127.0.0.1"}
    user = ("--user", f"{1:032}", "--name", "x")
    with ExitStack() as stack:
        stack.enter_context(running_server(listen_addresses="127.0.0.1", port=database_port))
        one, other = (
            stack.enter_context(instance(root, data, settings, **changes)) for _ in range(2)
        )
        keys = command(root, data, settings, "shared-reports", "keys", "create", *user)
        key = subprocess.check_output(
            keys, env=environment(root, settings, **changes), text=True
        ).strip()
        upstreams = {"reports-1:8080": one, "reports-2:8080": other}
        stack.enter_context(nginx(tmp_path, port, site, upstreams))
        reports = f"http://127.0.0.1:{port}/api/shared-reports"
        video = f"http://127.0.0.1:{port}/api/videos/job-1"
        assert request("PUT", video, {"video_name": "x"}, Authorization=key)[0] == 201
        link = json.loads(request("POST", reports, {"video_id": "job-1"}, Authorization=key)[1])
        paths = [f"http://{each}/api/shared-reports/{link['share_hash']}" for each in (one, other)]
        assert [get(path)[0] for path in paths] == [200, 200]
        assert request("DELETE", f"{reports}/{link['id']}", Authorization=key)[0] == 200
        assert [get(path)[0] for path in paths] == [404, 404]
        assert get(f"http://127.0.0.1:{port}/readyz")[0] == 200
    assert list(data.iterdir()) == []
