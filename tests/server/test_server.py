"""The process: how it starts, where it listens, how it stops."""

import http.client
import json
import re
import signal
import socket
import sqlite3
import stat
import time
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest
from support.harness import SAMPLE
from support.process import (
    PATIENCE,
    create_database,
    get,
    new_key,
    run,
    serving,
)

from service.config import Config
from service.domain.errors import ConfigError
from service.repositories.connect import ENGINE_VERSIONS
from service.server import run as serve
from service.server.systemd import Supervisor


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_server_stops_cleanly_on_a_signal_despite_idle_connections(
    tmp_path: Path, how: signal.Signals
) -> None:
    with serving(tmp_path) as server:
        host, port = server.url.removeprefix("http://").split(":")
        idle = [socket.create_connection((host, int(port))) for _ in range(3)]
        kept = http.client.HTTPConnection(host, int(port))
        kept.request("GET", "/livez")
        assert kept.getresponse().read()
        code, seconds = server.stop(how)
        kept.close()
        for each in idle:
            each.close()
        assert code == 0
        assert seconds < 4
        assert [each["event"] for each in server.events()][-2:] == ["stopping", "stopped"]
    assert not (tmp_path / "test.sqlite3-wal").exists()  # the last connection has tidied up


def test_server_answers_a_request_in_flight_before_it_stops(tmp_path: Path) -> None:
    key = new_key(tmp_path)
    with serving(tmp_path) as server:
        host, port = server.url.removeprefix("http://").split(":")
        body = SAMPLE.read_bytes()
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as client:
            client.sendall(
                f"PUT /api/videos/{json.loads(body)['job_id']} HTTP/1.1\r\nHost: x\r\n"
                f"Authorization: {key}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body[:100]
            )
            time.sleep(0.2)  # the request is being read now
            server.process.send_signal(signal.SIGTERM)
            while "stopping" not in [each["event"] for each in server.events()]:
                time.sleep(0.01)
            client.sendall(body[100:])
            assert client.recv(100).startswith(b"HTTP/1.1 201 ")
        assert server.process.wait(PATIENCE) == 0
    with serving(tmp_path) as server:
        videos = json.loads(get(f"{server.url}/api/videos", Authorization=key)[1])
        assert len(videos) == 1


def test_server_stops_despite_a_request_that_never_ends(tmp_path: Path) -> None:
    key = new_key(tmp_path)
    with serving(tmp_path, SHUTDOWN_TIMEOUT=0.5) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as client:
            client.sendall(
                f"POST /api/keys HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n"
                "Content-Length: 10\r\n\r\n".encode()
            )
            time.sleep(0.2)  # its body is being waited for now
            code, seconds = server.stop()
        assert code == 0
        assert 0.5 < seconds < 4


def test_server_stops_as_soon_as_the_last_request_is_answered(tmp_path: Path) -> None:
    key = new_key(tmp_path)
    with serving(tmp_path, SHUTDOWN_TIMEOUT=60) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as client:
            client.sendall(
                f"POST /api/keys HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n"
                "Content-Length: 12\r\n\r\n".encode()
            )
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            while "stopping" not in [each["event"] for each in server.events()]:
                time.sleep(0.01)
            client.sendall(b'{"name":"x"}')
            answered = time.monotonic()
            answer = client.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert b"\r\nConnection: close\r\n" in answer
        assert server.process.wait(PATIENCE) == 0
        assert time.monotonic() - answered < 4


def test_server_listens_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    path_was_left = socket.socket(socket.AF_UNIX)
    path_was_left.bind(str(path))  # as a killed process leaves it
    path_was_left.close()
    with serving(tmp_path, UNIX_SOCKET=path) as server:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert run("healthcheck", folder=tmp_path, UNIX_SOCKET=path).returncode == 0
        assert server.stop()[0] == 0


def test_server_reports_a_port_in_use_without_a_traceback(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("serve", folder=tmp_path, PORT=taken.getsockname()[1])
    assert result.returncode == 1
    assert "address already in use" in result.stderr
    assert "Traceback" not in result.stderr


def test_server_reports_a_newer_database_in_one_line(tmp_path: Path) -> None:
    create_database(tmp_path)
    with sqlite3.connect(tmp_path / "test.sqlite3") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    result = run("serve", folder=tmp_path)
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert "schema version 99" in result.stderr


def test_log_contains_no_share_hash_and_no_key(tmp_path: Path) -> None:
    with serving(tmp_path, "--demo", LOG_LEVEL="debug") as server:
        printed = server.read_until("-X DELETE")
        key, share_hash = (
            re.findall(pattern, printed)[0] for pattern in (r"LVZ_KEY=(\S+)", r"/r/(\w+)")
        )
        get(f"{server.url}/api/shared-reports/{share_hash}", Authorization=key)
        get(f"{server.url}/api/shared-reports/{share_hash}/{key}", Referer=f"/r/{share_hash}")
        with socket.create_connection(tuple(server.url[7:].split(":"))) as client:
            client.sendall(f"GET /api/shared-reports/{share_hash} {key} HTTP/1.1\r\n\r\n".encode())
            client.recv(1000)
        assert server.stop()[0] == 0
        log = server.log.read_text()
    assert len(log.splitlines()) > 4
    routes = {each["route"] for each in server.events() if each["event"] == "request"}
    assert routes == {"/api/shared-reports/{share_hash}", "-"}  # templates, never paths
    assert share_hash not in log
    assert key not in log


def test_readiness_fails_before_the_listener_closes(tmp_path: Path) -> None:
    with serving(tmp_path, SHUTDOWN_DELAY=300) as server:
        assert get(f"{server.url}/readyz")[0] == 200
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("stopping")
        status, body = get(f"{server.url}/readyz")
        assert (status, json.loads(body)["checks"]["lifecycle"]) == (503, "stopping")
        assert get(f"{server.url}/livez")[0] == 200
        code, seconds = server.stop()  # the second signal cuts the delay short
        assert code == 0
        assert seconds < 4
        with pytest.raises(OSError, match="refused"):
            get(f"{server.url}/livez")


def test_shutdown_delay_ends_by_itself(tmp_path: Path) -> None:
    with serving(tmp_path, SHUTDOWN_DELAY=0.5) as server:
        code, seconds = server.stop()
    assert code == 0
    assert 0.5 <= seconds < 4


def test_start_warns_of_nothing_that_the_design_rules_out(tmp_path: Path) -> None:
    """The fault of SQLite's log needs two processes that checkpoint: `/readyz` has the note."""
    with serving(tmp_path) as server:
        assert [each for each in server.events() if each["level"] == "warning"] == []


@pytest.mark.parametrize("checkpoints", ["service", "litestream"])
def test_server_warns_of_a_litestream_file_if_it_checkpoints(
    tmp_path: Path, checkpoints: str
) -> None:
    create_database(tmp_path)
    with closing(sqlite3.connect(tmp_path / "test.sqlite3")) as connection:
        connection.execute("CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)")
    with serving(tmp_path, CHECKPOINTER=checkpoints) as server:
        details = "".join(each.get("detail", "") for each in server.events())
    assert ("Litestream has used this file" in details) == (checkpoints == "service")


@pytest.mark.parametrize(
    ("module", "name", "version"),
    [
        (aiohttp, "__version__", "3.14.2"),
        (aiohttp, "__version__", "3.9.5rc1"),
        (serve, "ENGINE_VERSIONS", "3.37.2"),
    ],
)
def test_server_rejects_a_library_that_is_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, name: str, version: str
) -> None:
    value: object = version
    if name == "ENGINE_VERSIONS":
        [(engine, _, floor)] = ENGINE_VERSIONS
        value = ((engine, version, floor),)
    monkeypatch.setattr(module, name, value)
    with pytest.raises(ConfigError, match=f"{version} is too old"):
        serve.run(Config(database=tmp_path / "test.sqlite3", port=0), Supervisor())


def test_server_rejects_a_file_that_is_already_served(tmp_path: Path) -> None:
    """Only one process may checkpoint."""
    with serving(tmp_path) as server:
        second = run("serve", folder=tmp_path)
        assert second.returncode == 1
        assert "is being served by another process" in second.stderr
        assert run("keys", "list", folder=tmp_path).returncode == 0
        assert get(f"{server.url}/readyz")[0] == 200
        server.process.kill()
        server.process.wait()
    with serving(tmp_path) as server:  # a killed one leaves nothing in the way
        assert get(f"{server.url}/readyz")[0] == 200


def test_database_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    with serving(tmp_path):
        files = [*tmp_path.glob("test.sqlite3"), *tmp_path.glob("test.sqlite3-*")]
        assert len(files) == 3
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_client_that_leaves_in_mid_body_is_logged_as_400(tmp_path: Path) -> None:
    key = new_key(tmp_path)
    with serving(tmp_path) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(
                f"POST /api/keys HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n"
                "Content-Length: 100\r\n\r\nhalf".encode()
            )
        assert server.wait_for("request")["status"] == 400
        assert server.stop()[0] == 0
        assert "Traceback" not in server.log.read_text()
