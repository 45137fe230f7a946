"""Clients that write to a socket by hand, and what the server says of them."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from support.process import PATIENCE, Server, request

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
MIB = 2**20


@contextmanager
def connected(server: Server, *, receive_buffer: int = 0) -> Iterator[socket.socket]:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.socket() as client:
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(PATIENCE)
        client.connect((host, int(port)))
        yield client


def read_to_the_end(client: socket.socket) -> bytes:
    answer = b""
    try:
        while data := client.recv(MIB):
            answer += data
    except ConnectionResetError:
        pass
    return answer


def ended(server: Server) -> list[str]:
    """Why connections were ended."""
    return [each["reason"] for each in server.events() if each["event"] == "connection ended"]


def put_large(server: Server, key: str, size: int) -> str:
    """Put a video whose analysis is that large; returns the path of the analysis."""
    segment = {"module": "m", "start_time": 0, "end_time": 1, "content": "x" * 10_000}
    video = {"name": "large", "segments": [segment] * (size // 10_000)}
    assert request("PUT", f"{server.url}/api/videos/large", video, Authorization=key)[0] == 201
    body = {"video_id": "large"}
    made = request("POST", f"{server.url}/api/shared-reports", body, Authorization=key)[1]
    return f"/api/shared-reports/{json.loads(made)['share_hash']}/segments"


def begin(client: socket.socket, key: str, length: int) -> None:
    """Begin to create a key; the body of that length is being waited for when this returns."""
    client.sendall(
        f"POST /api/keys HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n"
        f"Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n".encode()
    )
    assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
