"""Raw requests over sockets: the worst ones, and the probe's."""

import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPException, HTTPResponse
from typing import Self

PATIENCE = 60.0
MIB = 2**20


@dataclass(frozen=True)
class Ask:
    """A request; its body comes in chunks of ``chunk`` bytes if that is not 0."""

    method: str
    target: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    chunk: int = 0

    def accepting(self, encoding: str) -> Self:
        return replace(self, headers=self.headers | {"Accept-Encoding": encoding})

    def encode(self) -> bytes:
        headers = {"Host": "localhost"} | self.headers
        if self.chunk:
            headers["Transfer-Encoding"] = "chunked"
        elif self.body or self.method in {"POST", "PUT", "PATCH"}:
            headers["Content-Length"] = str(len(self.body))
        lines = [f"{self.method} {self.target} HTTP/1.1", *map(": ".join, headers.items()), "", ""]
        return "\r\n".join(lines).encode() + (self._chunks() if self.chunk else self.body)

    def _chunks(self) -> bytes:
        parts = (
            self.body[start : start + self.chunk] for start in range(0, len(self.body), self.chunk)
        )
        return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


class Connection:
    """A connection that is kept for many requests."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)

    def ask(self, request: bytes, method: str) -> int:
        """Send a request, and read the response to its end; returns the status, 0 for none."""
        with suppress(ConnectionError, HTTPException):
            with suppress(ConnectionError):  # a rejected body is not read to its end
                self._socket.sendall(request)
            response = HTTPResponse(self._socket, method=method)
            response.begin()
            while response.read(MIB):
                pass
            return response.status
        return 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def timed(port: int, ask: Ask, statuses: list[int]) -> float:
    """Make a request over a connection of its own; returns the seconds that it took."""
    request = ask.encode()
    with Connection(port) as connection:
        start = time.perf_counter()
        statuses.append(connection.ask(request, ask.method))
        return time.perf_counter() - start
