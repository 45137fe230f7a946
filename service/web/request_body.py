"""The body of a request: bounded in bytes and in time."""

import asyncio
from typing import TypeVar
from urllib.parse import parse_qsl

from aiohttp import hdrs, web
from aiohttp.http_exceptions import PayloadEncodingError

from service.domain.decoding import decode_body
from service.domain.errors import (
    MalformedError,
    TooLargeError,
    TooSlowError,
)
from service.web.app_keys import CONFIG
from service.web.authentication import authenticate
from service.web.routing import T

Body = TypeVar("Body", bytes, bytearray)


BODY_MAX = 64 * 2**10


EXPORT_MAX = 32 * 2**20


_ENCODINGS = {"identity", "gzip", "deflate"}


async def read_body(request: web.Request, limit: int = BODY_MAX, *, has_key: bool = True) -> bytes:
    """The body, of at most ``limit`` bytes, of a request that has brought a key, or a link.

    Raises TooLargeError, TooSlowError, MalformedError, and UnauthorizedError where the key has
    stopped working while the body came.
    """
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() not in _ENCODINGS:
        raise MalformedError("The body's Content-Encoding is neither gzip nor deflate.")
    content = request.content
    if content.is_eof() and content.exception() is None:  # as small bodies are: it is all there
        return _within(limit, content.read_nowait())
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    body = bytearray()
    patience = request.app[CONFIG].body_timeout
    try:
        async with asyncio.timeout(patience):
            async for chunk in content.iter_any():
                body += chunk
                _within(limit, body)
    except TimeoutError as error:
        raise TooSlowError(f"The body may take up to {patience:g} s.") from error
    except ConnectionError as error:
        raise MalformedError("The connection ended before the body did.") from error
    except (PayloadEncodingError, web.RequestPayloadError) as error:
        raise MalformedError("The body's transfer or content encoding is broken.") from error
    if has_key:
        await authenticate(request, request.app)
    return bytes(body)


def _within(limit: int, body: Body) -> Body:
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"The body may have up to {limit} bytes.")


async def read_json(request: web.Request, kind: type[T], *, has_key: bool = True) -> T:
    """The request's body as a ``kind``. Raises InvalidError and what read_body does."""
    body = await read_body(request, has_key=has_key)
    return decode_body(body, kind)


async def read_form(request: web.Request) -> dict[str, str]:
    """The fields of the form that a person has sent. Raises what read_body does."""
    body = await read_body(request, has_key=False)
    return dict(parse_qsl(body.decode(errors="replace")))
