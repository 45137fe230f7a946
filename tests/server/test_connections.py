"""The limit on connections, where handlers wait for bodies that do not come."""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.clients import LIVEZ, begin, connected, ended, put_large, read_to_the_end
from support.process import await_true, get, new_key, request, serving


@pytest.fixture
def key(tmp_path: Path) -> str:
    return new_key(tmp_path)


def test_connections_limit_closes_those_whose_public_body_never_comes(
    tmp_path: Path, key: str
) -> None:
    with serving(tmp_path, MAX_CONNECTIONS=20, LOG_LEVEL="debug") as server, ExitStack() as stack:
        put_large(server, key, 10_000)
        body = {"video_id": "large", "password": "open sesame"}
        made = request("POST", f"{server.url}/api/shared-reports", body, Authorization=key)[1]
        path = f"/api/shared-reports/{json.loads(made)['share_hash']}/unlock"
        workers = [stack.enter_context(connected(server)) for _ in range(18)]
        for worker in workers:
            begin(worker, key, 12)
        for _ in range(2):
            client = stack.enter_context(connected(server))
            client.sendall(
                f"POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                "Content-Length: 100\r\n\r\n".encode()
            )
            assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        for _ in range(5):
            assert get(f"{server.url}/livez")[0] == 200
        await_true(lambda: ended(server) == ["too many"] * 2, "the lines of the connections")
        for worker in workers:  # which have waited for longer
            worker.sendall(b'{"name":"x"}')
            assert worker.recv(1000).startswith(b"HTTP/1.1 201 ")


def test_connections_limit_keeps_places_for_newcomers_from_bodies(tmp_path: Path, key: str) -> None:
    """Of the bodies of calls with a key, those that made no progress for longest give way."""
    with serving(tmp_path, MAX_CONNECTIONS=20) as server, ExitStack() as stack:
        workers = [stack.enter_context(connected(server)) for _ in range(19)]
        for worker in workers:
            begin(worker, key, 12)
        workers[0].sendall(b"{")
        with connected(server) as other:
            for _ in range(2):  # the second is read after all that was sent before the first
                other.sendall(LIVEZ)
                assert other.recv(1000).startswith(b"HTTP/1.1 200 ")
        workers.append(stack.enter_context(connected(server)))
        begin(workers[-1], key, 12)
        for _ in range(5):
            assert get(f"{server.url}/livez")[0] == 200
        workers[0].sendall(b'"name":"x"}')
        for worker in workers[3:]:
            worker.sendall(b'{"name":"x"}')
        for worker in (workers[0], *workers[3:]):
            assert worker.recv(1000).startswith(b"HTTP/1.1 201 ")
        assert [read_to_the_end(worker) for worker in workers[1:3]] == [b"", b""]
