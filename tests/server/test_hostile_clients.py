"""Clients that are slow, many or greedy: they are ended in bounded time and cost bounded memory,
and the others are served.
"""

import asyncio
import json
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.clients import LIVEZ, MIB, begin, connected, ended, put_large, read_to_the_end
from support.process import PATIENCE, Server, await_true, get, new_key, request, run, serving

from service.aiohttp_ext import connection_limiter
from service.aiohttp_ext.connection_limiter import ConnectionLimiter
from service.aiohttp_ext.server import Server as LimitedServer
from service.web import problems


@pytest.fixture
def key(tmp_path: Path) -> str:
    return new_key(tmp_path)


def drip(client: socket.socket, drop: bytes) -> None:
    """Send drops until there is something to read."""
    until = time.monotonic() + PATIENCE
    while not select.select([client], [], [], 0.02)[0] and time.monotonic() < until:
        client.sendall(drop)


def memory(server: Server) -> float:
    """What the process has in memory, in MiB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 2**10


def files(server: Server) -> int:
    """How many files the process has open."""
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


@pytest.mark.parametrize("sent", [b"", b"GET", LIVEZ[:-2], b"GET / HTTP/1.1\r\n" * 2])
def test_connection_without_a_complete_head_is_closed(tmp_path: Path, sent: bytes) -> None:
    with serving(tmp_path, HEADER_TIMEOUT=0.3) as server, connected(server) as client:
        client.sendall(sent)
        began = time.monotonic()
        answer = read_to_the_end(client)
        assert time.monotonic() - began < 5
        assert answer == b"" or answer[8:13] == b" 400 "
        assert get(f"{server.url}/livez")[0] == 200


def test_connection_with_a_dripped_head_is_closed(tmp_path: Path) -> None:
    with serving(tmp_path, HEADER_TIMEOUT=0.3) as server, connected(server) as client:
        began = time.monotonic()
        client.sendall(LIVEZ[:-2])
        drip(client, b"X: y\r\n")
        assert read_to_the_end(client) == b""
        assert time.monotonic() - began < 5


def test_connection_may_be_idle_after_a_response(tmp_path: Path) -> None:
    with serving(tmp_path, HEADER_TIMEOUT=0.2, SEND_TIMEOUT=0.2, LOG_LEVEL="debug") as server:
        with connected(server) as client, connected(server) as silent:
            client.sendall(LIVEZ)
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
            assert silent.recv(1) == b""  # so the time is over, for this one too
            client.sendall(LIVEZ)
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        await_true(lambda: ended(server) == ["no request"], "the line of the silent connection")


def test_request_body_that_does_not_arrive_is_answered_408(tmp_path: Path, key: str) -> None:
    with serving(tmp_path, BODY_TIMEOUT=0.3) as server, connected(server) as client:
        begin(client, key, 1000)
        began = time.monotonic()
        drip(client, b" ")
        answer = read_to_the_end(client)
        assert time.monotonic() - began < 5
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"\r\nConnection: close\r\n" in answer
        assert b"urn:shared-reports:problem:too-slow" in answer
        assert get(f"{server.url}/livez")[0] == 200


def test_response_that_is_not_read_is_dropped(tmp_path: Path, key: str) -> None:
    settings: dict[str, Any] = {"SEND_TIMEOUT": 0.5, "LOG_LEVEL": "debug"}
    with serving(tmp_path, **settings) as server:
        path = put_large(server, key, 16 * MIB)
        with connected(server, receive_buffer=4096) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            server.wait_for("connection ended")
            assert len(read_to_the_end(client)) < 16 * MIB
        await_true(lambda: ended(server) == ["answer not taken"], "the line of the response")
        assert len(get(server.url + path)[1]) > 16 * MIB


def test_response_that_is_read_slowly_is_sent_whole(tmp_path: Path, key: str) -> None:
    settings: dict[str, Any] = {"SEND_TIMEOUT": 0.5, "LOG_LEVEL": "debug"}
    with serving(tmp_path, **settings) as server:
        path = put_large(server, key, 16 * MIB)
        with connected(server, receive_buffer=2**18) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            began, size = time.monotonic(), 0
            while data := client.recv(2**18):
                size += len(data)
                time.sleep(0.02)
        assert time.monotonic() - began > 1  # it took longer than a stalled one may
        assert size > 16 * MIB
        assert ended(server) == []


def test_connection_limit_leaves_room_for_others_in_a_flood(tmp_path: Path) -> None:
    with serving(tmp_path, MAX_CONNECTIONS=20, LOG_LEVEL="debug") as server, ExitStack() as stack:
        before = files(server)
        for _ in range(300):
            stack.enter_context(connected(server))
        for _ in range(5):
            assert get(f"{server.url}/livez")[0] == 200
        assert files(server) <= before + 20 + 1
        await_true(lambda: len(ended(server)) >= 280, "the lines of the connections")
        assert set(ended(server)) == {"too many"}


def test_connection_limit_spares_connections_with_a_request(tmp_path: Path, key: str) -> None:
    with serving(tmp_path, MAX_CONNECTIONS=3) as server, ExitStack() as stack:
        workers = [stack.enter_context(connected(server)) for _ in range(3)]
        for each in workers:
            begin(each, key, 12)
        with connected(server) as newcomer:
            newcomer.sendall(LIVEZ)
            assert read_to_the_end(newcomer) == b""
        for each in workers:
            each.sendall(b'{"name":"x"}')
            assert each.recv(1000).startswith(b"HTTP/1.1 201 ")
        assert get(f"{server.url}/livez")[0] == 200


def test_pipelined_requests_cost_no_memory_and_block_nobody(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"SEND_TIMEOUT": 1}
    with serving(tmp_path, **settings) as server, connected(server, receive_buffer=4096) as client:
        get(f"{server.url}/docs")
        before = memory(server)
        with pytest.raises(OSError, match=r"timed out|pipe|reset"):
            client.sendall(LIVEZ * 500_000)  # whose answers, 190 MiB, are never read
        assert get(f"{server.url}/livez")[0] == 200
        assert memory(server) - before < 20
        assert len(read_to_the_end(client)) < 50 * MIB


def test_memory_stays_bounded_under_guesses_and_floods(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"MAX_CONNECTIONS": 50, "TRUSTED_PROXIES": "127.0.0.1"}
    with serving(tmp_path, **settings) as server:
        get(f"{server.url}/docs")
        guess(server, 1000)
        before = memory(server)
        statuses = guess(server, 20_000)
        # Each from an address of its own; those for whom the table has no room share a bucket.
        assert statuses <= {b"404", b"429"}
        with ExitStack() as stack:
            for _ in range(500):
                stack.enter_context(connected(server)).sendall(LIVEZ[:-2])
        assert memory(server) - before < 20


def test_views_are_served_during_a_flood_of_guesses(tmp_path: Path, key: str) -> None:
    with serving(tmp_path) as server, ThreadPoolExecutor(1) as pool:
        path = put_large(server, key, 10_000)
        statuses = pool.submit(guess, server, 20_000)
        views = 0
        while not statuses.done():
            assert get(server.url + path)[0] == 200  # from the same address
            views += 1
        assert statuses.result() == {b"404", b"429"}
        assert views > 10


async def test_unsent_responses_are_bounded_in_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest is dropped as soon as it is written, whoever came first."""
    monkeypatch.setattr(connection_limiter, "_UNSENT_MAX", 24 * MIB)
    paths = []

    async def answer(request: web.BaseRequest) -> web.Response:
        paths.append(request.path)
        return web.Response(body=bytes(int(request.path[1:]) * MIB))

    watched = ConnectionLimiter(limit=10, header_timeout=60, send_timeout=60)
    runner = web.ServerRunner(LimitedServer(answer, problems.from_status, watched))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    with ExitStack() as stack:
        for size in (12, 40, 12):
            client = stack.enter_context(socket.create_connection(runner.addresses[0]))
            client.sendall(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % size)
        async with asyncio.timeout(PATIENCE):
            while len(paths) < 3 or not all(map(unsent, watched._open.values())):
                await asyncio.sleep(0.01)
        assert len(watched._open) == 2
        await watched.check()
        assert len(watched._open) == 2
        assert all(unsent(each) < 12 * MIB for each in watched._open.values())
    await runner.cleanup()


def unsent(connection: Any) -> int:
    size: int = connection.transport.get_write_buffer_size()
    return size


def guess(server: Server, count: int) -> set[bytes]:
    """Ask for unknown links from as many addresses; returns the statuses."""
    statuses = set()
    with connected(server) as client, client.makefile("rb") as answers:
        for start in range(0, count, 100):
            client.sendall(
                b"".join(
                    b"GET /api/shared-reports/%016d HTTP/1.1\r\nHost: x\r\n"
                    b"X-Forwarded-For: 10.%d.%d.1\r\n\r\n" % (n, n >> 8, n & 255)
                    for n in range(start, start + 100)
                )
            )
            for _ in range(100):
                statuses.add(answers.readline().split()[1])
                length = 0
                while (line := answers.readline()) != b"\r\n":
                    if line.startswith(b"Content-Length"):
                        length = int(line.split()[1])
                answers.read(length)
    return statuses


@pytest.mark.parametrize("change", ["DELETE", "PATCH"])
def test_api_key_that_ends_while_the_body_arrives_changes_nothing(
    tmp_path: Path, key: str, change: str
) -> None:
    with serving(tmp_path) as server, connected(server) as client:
        url = f"{server.url}/api/keys"
        other = json.loads(request("POST", url, {"name": "other"}, Authorization=key)[1])
        begin(client, other["raw_key"], 12)
        body = {"is_active": False} if change == "PATCH" else None
        assert request(change, f"{url}/{other['id']}", body, Authorization=key)[0] == 200
        client.sendall(b'{"name":"x"}')
        assert client.recv(1000).startswith(b"HTTP/1.1 401 ")
        assert "x" not in {each["name"] for each in json.loads(get(url, Authorization=key)[1])[:-1]}


def test_shutdown_timeout_bounds_the_wait_for_stalled_clients(tmp_path: Path, key: str) -> None:
    with serving(tmp_path, SHUTDOWN_TIMEOUT=1) as server:
        path = put_large(server, key, 16 * MIB)
        with connected(server, receive_buffer=4096) as stalled, connected(server) as slow:
            stalled.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            begin(slow, key, 10)
            assert stalled.recv(1) == b"H"
            code, seconds = server.stop()
    assert code == 0
    assert 1 < seconds < 1.8


def test_shutdown_completes_a_response_that_is_being_read(tmp_path: Path, key: str) -> None:
    with serving(tmp_path, SHUTDOWN_TIMEOUT=20) as server:
        path = put_large(server, key, 16 * MIB)
        with connected(server, receive_buffer=2**16) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert client.recv(1) == b"H"
            server.process.terminate()
            server.wait_for("stopping")
            assert len(read_to_the_end(client)) > 16 * MIB
            assert server.process.wait(PATIENCE) == 0


def test_unix_socket_in_use_is_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with serving(tmp_path, UNIX_SOCKET=path):
        second = run(
            "serve", folder=tmp_path, DATABASE=tmp_path / "other.sqlite3", UNIX_SOCKET=path
        )
        assert second.returncode == 1
        assert f"{path} is in use by another process" in second.stderr
        assert len(second.stderr.splitlines()) == 1
        assert run("healthcheck", folder=tmp_path, UNIX_SOCKET=path).returncode == 0
