"""Programs that an operator installs beside the service, and that the tests run where they are."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.process import PATIENCE


def found(command: str, package: str) -> str:
    path = shutil.which(command, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        pytest.skip(f"{command} is not installed (Debian: {package})")
    return path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def nginx(folder: Path, port: int, site: str, addresses: dict[str, str]) -> Iterator[None]:
    """Run nginx with the configuration of the document, with another port and other upstreams."""
    command = found("nginx", "nginx-light")
    changes = addresses | {"listen 80;": f"listen 127.0.0.1:{port};", "/var/log/nginx": str(folder)}
    for written, ours in changes.items():
        assert written in site
        site = site.replace(written, ours)
    user = "user root;" if os.geteuid() == 0 else ""  # the socket is in the tests' own folder
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = folder / "nginx.conf"
    file.write_text(
        f"{user} pid {folder}/nginx.pid; error_log {folder}/error.log; daemon off; events {{}}"
        f" http {{ access_log {folder}/access.log; {temporary}\n{site}\n}}"
    )
    process = subprocess.Popen([command, "-e", folder / "error.log", "-c", file, "-p", folder])
    try:
        deadline = time.monotonic() + PATIENCE
        while not (folder / "nginx.pid").exists() and time.monotonic() < deadline:
            assert process.poll() is None, (folder / "error.log").read_text()
            time.sleep(0.01)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)
