"""`serve --demo`: what it prints works when pasted, and it adds nothing twice."""

import json
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

from support.process import (
    COMMAND,
    PATIENCE,
    await_true,
    environment,
    get,
    new_key,
    serving,
)


def test_demo_commands_work_when_pasted(tmp_path: Path) -> None:
    """Every line as it is printed, in a shell; only the wait is cut short."""
    with serving(tmp_path, "--demo") as server:
        printed = server.read_until("-X DELETE")
        lines = printed[printed.index("export LVZ_KEY") :].replace("sleep 6", "sleep 5")
        script = f'set -e\ncurl() {{ command curl "$@"; echo; }}\n{lines}'
        shell = subprocess.run(
            ["sh", "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert shell.returncode == 0, shell.stderr
        created, viewed, brief, listed, revoked = map(json.loads, shell.stdout.splitlines())
        assert created["is_active"] == 1
        assert viewed["video"]["name"] == "street-meadow-car.mp4"
        assert [each["is_active"] for each in listed] == [0, 1, 1]
        assert listed[0] == brief | {"is_active": 0, "status": "expired"}
        assert revoked == {"ok": True}
        link = re.search(r"http://\S+/r/(\w+)", printed)
        assert link is not None
        assert get(f"{server.url}/api/shared-reports/{link[1]}")[0] == 404
        assert server.stop()[0] == 0


def test_demo_reuses_its_private_key_file(tmp_path: Path) -> None:
    keys, links = set(), set()
    for _ in range(2):
        with serving(tmp_path, "--demo") as server:
            printed = server.read_until("-X DELETE")
            keys.add(re.findall(r"LVZ_KEY=(\S+)", printed)[0])
            links.add(re.findall(r"/r/(\w+)", printed)[0])
            assert server.stop()[0] == 0
    assert (len(keys), len(links)) == (1, 1)
    file = tmp_path / "test.sqlite3.demo-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {file.read_text().strip()} == keys


def test_demonstration_with_a_full_stdout_serves_and_stops(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    read, write = os.pipe()
    os.set_blocking(write, False)
    with suppress(BlockingIOError):
        while True:
            os.write(write, bytes(4096))
    os.set_blocking(write, True)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--demo"],
            env=environment(tmp_path, UNIX_SOCKET=path),
            stdout=write,
            stderr=log,
        )
    os.close(write)
    try:
        await_true(lambda: b"listening" in (tmp_path / "log").read_bytes(), "listening")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(path))
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(read)


def test_demo_creates_another_link_after_an_expiry(tmp_path: Path) -> None:
    links = []
    for _ in range(2):
        with serving(tmp_path, "--demo") as server:
            links += re.findall(r"/r/(\w+)", server.read_until("-X DELETE"))[:1]
            assert get(f"{server.url}/api/shared-reports/{links[-1]}")[0] == 200
            assert server.stop()[0] == 0
        with sqlite3.connect(tmp_path / "test.sqlite3") as connection:
            connection.execute("UPDATE shared_reports SET expires_at = '2025-01-15T10:00:00'")
            videos = connection.execute("SELECT revision FROM videos").fetchall()
        connection.close()
        assert videos == [(1,)]
    assert links[0] != links[1]


def test_demo_replaces_a_key_file_readable_by_others(tmp_path: Path) -> None:
    file = tmp_path / "test.sqlite3.demo-key"
    file.touch(mode=0o666)
    file.chmod(0o666)
    with serving(tmp_path, "--demo") as server:
        server.read_until("-X DELETE")
        assert server.stop()[0] == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith("lvz_live_")


def test_demo_adds_nothing_to_a_database_in_use(tmp_path: Path) -> None:
    key = new_key(tmp_path)
    with serving(tmp_path, "--demo") as server:
        assert "nothing was added" in server.output.readline()
        assert json.loads(get(f"{server.url}/api/videos", Authorization=key)[1]) == []
        assert server.stop()[0] == 0
