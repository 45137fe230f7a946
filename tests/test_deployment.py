"""The deployments of docs/deployment.md, as far as they can be run: nginx, systemd, Kubernetes."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.database import DatabaseSetting, use_database
from support.deployed import found, free_port, nginx
from support.docs import ROOT, blocks
from support.process import (
    COMMAND,
    PATIENCE,
    await_true,
    environment,
    get,
    new_key,
    request,
    run,
    serving,
)

from service.server.systemd import Supervisor

# Sets LISTEN_PID to itself, puts the socket where systemd does, and becomes the service.
LAUNCHER = """
import os, sys
if int(sys.argv[1]) != 3:
    os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.executable, [sys.executable, "-m", "service", "serve"])
"""


def test_nginx_in_front_over_the_unix_socket(tmp_path: Path) -> None:
    key = new_key(tmp_path)
    port = free_port()
    path = tmp_path / "http.sock"
    with (
        serving(tmp_path, UNIX_SOCKET=path, TRUSTED_PROXIES="unix") as server,
        nginx(
            tmp_path,
            port,
            blocks("deployment", "nginx")[0],
            {"unix:/run/shared-reports/http.sock": f"unix:{path}"},
        ),
    ):
        url = f"http://127.0.0.1:{port}"
        put = urllib.request.Request(
            f"{url}/api/videos/job-1",
            data=b'{"name": "x"}' + b" " * 2**21,  # more than nginx takes by default
            headers={"Authorization": key, "X-Forwarded-For": "6.6.6.6"},
            method="PUT",
        )
        with urllib.request.urlopen(put, timeout=PATIENCE) as response:
            assert response.status == 201
        share = urllib.request.Request(
            f"{url}/api/shared-reports",
            data=b'{"video_id": "job-1"}',
            headers={"Authorization": key, "X-Forwarded-Host": "evil.example"},
        )
        with urllib.request.urlopen(share, timeout=PATIENCE) as response:
            location = response.headers["Location"]
        assert location.startswith(f"{url}/api/shared-reports/")
        assert get(location)[0] == 200
        assert get(f"{url}/metrics")[0] == 403
        assert server.stop()[0] == 0
        requests = [each for each in server.events() if each["event"] == "request"]
        assert [each["status"] for each in requests] == [201, 201, 200]
        assert {each["client"] for each in requests} == {"127.0.0.1"}
        assert all(re.fullmatch("[0-9a-f]{32}", each["request_id"]) for each in requests)
    share_hash = location.rpartition("/")[2]
    assert share_hash not in (tmp_path / "error.log").read_text()
    assert share_hash not in (tmp_path / "access.log").read_text()


@pytest.mark.engine("postgresql")
def test_nginx_in_front_of_two_instances(database: DatabaseSetting, tmp_path: Path) -> None:
    """What one acknowledges holds at the other one; the death of one is not noticed."""
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
        use_database(folder, database)
    user = f"{1:032}"
    key = run("keys", "create", "--user", user, "--name", "x", folder=folders[0]).stdout.strip()
    with (
        serving(folders[0]) as one,
        serving(folders[1]) as other,
        nginx(
            tmp_path,
            port := free_port(),
            (ROOT / "deploy/nginx.conf").read_text(),
            {"reports-1:8080": one.url.rpartition("/")[2], "reports-2:8080": other.url[7:]},
        ),
    ):
        url = f"http://127.0.0.1:{port}"
        reports = f"{url}/api/shared-reports"

        def share(**fields: object) -> str:
            body = {"video_id": "job-1"} | fields
            status, answer = request("POST", reports, body, Authorization=key)
            assert status == 201
            share_hash: str = json.loads(answer)["share_hash"]
            return share_hash

        def statuses(share_hash: str) -> list[int]:
            """At each instance, and twice through nginx, which takes them in turn."""
            path = f"/api/shared-reports/{share_hash}"
            return [get(f"{each}{path}")[0] for each in (one.url, other.url, url, url)]

        body = {"video_name": "x"}
        assert request("PUT", f"{url}/api/videos/job-1", body, Authorization=key)[0] == 201
        kept, revoked = share(), share()
        soon = datetime.now(UTC) + timedelta(seconds=2)
        expiring = share(expires_at=soon.strftime("%Y-%m-%dT%H:%M:%SZ"))
        assert statuses(kept) == statuses(revoked) == [200] * 4
        listed = json.loads(get(reports, Authorization=key)[1])
        [report_id] = [report["id"] for report in listed if report["share_hash"] == revoked]
        path = f"/api/shared-reports/{report_id}"
        assert request("DELETE", f"{one.url}{path}", Authorization=key)[0] == 200
        assert statuses(revoked) == [404] * 4
        await_true(lambda: statuses(expiring) == [410] * 4, "expiry")
        assert get(f"{url}/metrics")[0] == 403

        one.process.kill()
        one.process.wait(PATIENCE)
        assert [get(f"{reports}/{kept}")[0] for _ in range(6)] == [200] * 6
        assert [request("POST", reports, {"video_id": "job-1"}, Authorization=key)[0] for _ in "12"]
        assert kept not in (tmp_path / "error.log").read_text()
        assert other.stop()[0] == 0
        clients = {event["client"] for event in other.events() if event["event"] == "request"}
        assert clients == {"127.0.0.1"}


def test_systemd_units_are_valid(tmp_path: Path) -> None:
    command = found("systemd-analyze", "systemd")
    socket_unit, service_unit = blocks("deployment", "ini")
    executable = Path(sys.executable).with_name("shared-reports")
    service_unit = service_unit.replace("/opt/shared-reports/bin/shared-reports", str(executable))
    (tmp_path / "shared-reports.socket").write_text(socket_unit)
    (tmp_path / "shared-reports.service").write_text(service_unit)
    checked = subprocess.run(
        [command, "verify", "--man=no", tmp_path / "shared-reports.service"],
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in checked.stderr.splitlines() if "shared-reports" in line]
    assert (checked.returncode, ours) == (0, [])


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_socket_passed_by_a_supervisor_is_served(
    tmp_path: Path, family: socket.AddressFamily
) -> None:
    """And whoever handed it over is told when it is ready, and when it stops."""
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(f"\0shared-reports-test-{os.getpid()}")
    told.settimeout(PATIENCE)
    listening = socket.socket(family)
    listening.bind(("127.0.0.1", 0) if family == socket.AF_INET else str(tmp_path / "s.sock"))
    listening.listen()
    log = (tmp_path / "log").open("w")
    with told, listening, log:
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(listening.fileno())],
            env=environment(tmp_path, PORT=1)
            | {"NOTIFY_SOCKET": f"@shared-reports-test-{os.getpid()}"},
            pass_fds=[listening.fileno()],
            stderr=log,
        )
        try:
            assert told.recv(100) == b"READY=1"
            with socket.socket(family) as client:
                client.connect(listening.getsockname())
                client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
            process.terminate()
            assert told.recv(100) == b"STOPPING=1"
            assert process.wait(PATIENCE) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(PATIENCE)
    if family == socket.AF_UNIX:
        assert (tmp_path / "s.sock").exists()  # it is systemd's to remove


def test_systemd_starts_the_service_at_the_first_connection(tmp_path: Path) -> None:
    command = found("systemd-socket-activate", "systemd")
    port = free_port()
    settings = [f"--setenv={name}" for name in environment(tmp_path) if "SHARED" in name]
    process = subprocess.Popen(
        [command, *settings, "-l", f"127.0.0.1:{port}", *COMMAND, "serve"],
        env=environment(tmp_path),
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                assert get(f"http://127.0.0.1:{port}/readyz")[0] == 200
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        process.terminate()
        assert process.wait(PATIENCE) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(PATIENCE)


def test_supervisor_ignores_sockets_for_another_process() -> None:
    environ = {"LISTEN_PID": "7", "LISTEN_FDS": "2", "NOTIFY_SOCKET": "/run/x"}
    assert Supervisor.from_env(environ, 7) == Supervisor("/run/x", 2)
    assert Supervisor.from_env(environ, 8) == Supervisor("/run/x", 0)
    assert Supervisor.from_env(environ | {"LISTEN_FDS": "x"}, 7).socket_count == 0
    assert Supervisor.from_env({}, 7) == Supervisor()


def test_supervisor_that_does_not_listen_is_ignored(tmp_path: Path) -> None:
    Supervisor(str(tmp_path / "no-such.sock")).notify("READY=1")


def test_make_run_takes_the_address_of_a_database(tmp_path: Path) -> None:
    """As it is written, and not as an argument of a program, where others see a password."""
    script = tmp_path / "shared-reports"
    script.write_text('#!/bin/sh\necho "$@ on $SHARED_REPORTS_DATABASE"\n')
    script.chmod(0o755)
    for address in ("postgresql://u:a$$b'c@localhost/x", "x.sqlite3"):
        made = subprocess.run(
            ["make", f"BIN={tmp_path}", f"DATABASE={address}", "run"]
            + [f"--assume-old=.venv/{name}" for name in ("postgresql", "run")],
            cwd=ROOT,
            env=os.environ | {"MAKEFLAGS": "", "MAKELEVEL": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.stdout == f"serve --demo on {address}\n", made.stderr
