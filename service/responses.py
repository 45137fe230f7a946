"""Typed values to answers: the headers that every answer carries, built once."""

from collections.abc import Mapping

import msgspec
from aiohttp import web
from multidict import CIMultiDict

JSON = "application/json"

HEADERS = {
    "Server": "shared-reports",
    # A share hash is a secret in an address, and a dead link is dead at once: no answer may be
    # kept, indexed, or told to other sites by a Referer.
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
}

_encoder = msgspec.json.Encoder()


def respond(
    value: object,
    *,
    status: int = 200,
    content_type: str = JSON,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """An answer whose body is ``value`` as JSON."""
    return respond_bytes(
        _encoder.encode(value), status=status, content_type=content_type, headers=headers
    )


def respond_bytes(
    body: bytes,
    *,
    status: int = 200,
    content_type: str = JSON,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """An answer whose body is ``body`` as it stands."""
    all_headers = CIMultiDict(HEADERS)
    all_headers["Content-Type"] = content_type
    if headers:
        all_headers.update(headers)
    return web.Response(body=body, status=status, headers=all_headers)
