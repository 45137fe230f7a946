"""Answers: what every one of them carries, and the shortest way onto the wire."""

import email.utils
import time
from collections.abc import Awaitable, Mapping
from functools import lru_cache
from http import HTTPStatus
from types import MappingProxyType

import msgspec
from aiohttp import HttpVersion, HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

HEADERS = {
    "Server": "shared-reports",
    # A share hash is a secret in an address, and a dead link is dead at once: no answer may be
    # kept, indexed, or told to other sites by a Referer.
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
}

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_LARGE = 2**16  # bytes from which on a copy costs more than a second write

_encoder = msgspec.json.Encoder()


class Response:
    """An answer that is known as a whole, and goes out in one piece.

    aiohttp's own Response makes a table of headers for each answer, asks it a dozen questions and
    then turns it into text: a third of all that a view costs. Nearly all of that text is the same
    each time, so here it is made once. This has what aiohttp asks of a response, and no more.
    """

    __http_exception__ = False
    __slots__ = ("_content_type", "_keeps_alive", "_more", "body", "request_id", "status")

    def __init__(
        self, body: bytes, status: int, content_type: str, headers: Mapping[str, str]
    ) -> None:
        self.status = status
        self.body = body
        self.request_id = ""
        self._keeps_alive: bool | None = None
        self._content_type = content_type
        self._more = headers

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection outlives the answer; asked once the answer is out."""
        return self._keeps_alive

    def force_close(self) -> None:
        """Close the connection behind the answer."""
        self._keeps_alive = False

    def prepare(self, request: web.BaseRequest) -> Awaitable[None]:
        """Send the answer, all of it."""
        head = self._head(request)
        body = b"" if request.method == hdrs.METH_HEAD else self.body
        if len(body) < _LARGE:
            return request.writer.write_eof(head + body)
        return _send(request.writer, head, body)

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to do."""

    def _head(self, request: web.BaseRequest) -> bytes:
        alive = request.keep_alive and self._keeps_alive is not False
        self._keeps_alive = alive
        always = _always(request.version, self.status, self._content_type, alive, int(time.time()))
        more = _lines(self._more) if self._more else ""
        if self.request_id:
            more += f"X-Request-ID: {self.request_id}\r\n"
        return f"{always}Content-Length: {len(self.body)}\r\n{more}\r\n".encode()


async def _send(writer: AbstractStreamWriter, head: bytes, body: bytes) -> None:
    await writer.write(head)
    await writer.write_eof(body)


@lru_cache(maxsize=64)
def _always(
    version: HttpVersion,
    status: int,
    content_type: str,
    alive: bool,  # noqa: FBT001 - by its name the cache would be slower
    second: int,
) -> str:
    """What an answer's head says each time in one second."""
    lines = HEADERS | {
        "Content-Type": content_type,
        "Date": email.utils.formatdate(second, usegmt=True),
    }
    if alive is not (version >= HttpVersion11):  # as HTTP has it where nothing is said
        lines["Connection"] = "keep-alive" if alive else "close"
    return (
        f"HTTP/{version.major}.{version.minor} {status} {HTTPStatus(status).phrase}\r\n"
        f"{_lines(lines)}"
    )


def _lines(headers: Mapping[str, str]) -> str:
    """Header lines. Raises ValueError for a value that would end its line."""
    lines = ""
    for name, value in headers.items():
        if not value.isprintable():
            raise ValueError("a control character in a header")
        lines += f"{name}: {value}\r\n"
    return lines


def json_response(
    value: object,
    *,
    status: int = 200,
    content_type: str = JSON,
    headers: Mapping[str, str] = _NO_HEADERS,
) -> Response:
    """An answer whose body is ``value`` as JSON."""
    return Response(_encoder.encode(value), status, content_type, headers)


def raw_response(
    body: bytes,
    *,
    status: int = 200,
    content_type: str = JSON,
    headers: Mapping[str, str] = _NO_HEADERS,
) -> Response:
    """An answer whose body is ``body`` as it stands."""
    return Response(body, status, content_type, headers)
