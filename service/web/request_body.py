"""The body of a request: bounded in bytes, unpacked or not, and in time."""

import asyncio
import zlib
from urllib.parse import parse_qsl

from aiohttp import hdrs, web
from aiohttp.http_exceptions import PayloadEncodingError

from service.aiohttp_ext.request_handler import BodyWait
from service.domain.decoding import decode_body
from service.domain.errors import (
    MalformedError,
    TooLargeError,
    TooSlowError,
)
from service.web.app_keys import BODY_MEMORY, CONFIG, POOLS
from service.web.authentication import authenticate
from service.web.body_memory import BodyLease
from service.web.routing import T

BODY_MAX = 64 * 2**10
"""Bytes of a body, before and after it is unpacked."""

EXPORT_MAX = 32 * 2**20
"""Bytes of the body that puts a video."""

PUBLIC_BODY_TIMEOUT = 5.0
"""Seconds that the body of a call without a key may take: it is a password at most."""

_FORM_FIELDS = 100  # 16,000 fields of 64 KiB took 10 ms
_GZIP_MEMBERS = 64  # in one body; each costs time, and may be empty
_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
_DEFLATE = 8  # the method in the first byte of zlib's format; some send none


async def read_body(request: web.Request, limit: int = BODY_MAX, *, has_key: bool = True) -> bytes:
    """Return the body, of at most ``limit`` bytes, unpacked if the request ``has_key``.

    Raises TooLargeError, TooSlowError, MalformedError, UnavailableError if too many large bodies
    are in memory, and UnauthorizedError if the key has stopped working meanwhile.
    """
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower()
    if encoding != "identity" and (encoding not in _WINDOWS or not has_key):
        accepted = "neither gzip nor deflate" if has_key else "not one that this call takes"
        raise MalformedError(f"The body's Content-Encoding is {accepted}.")
    lease = None
    if limit > BODY_MAX:
        owner = await authenticate(request, request.app)
        lease = request.app[BODY_MEMORY].lease(owner.user_id)
    content = request.content
    is_complete = content.is_eof() and content.exception() is None  # as small bodies are
    body: bytes | bytearray
    if is_complete:
        body = content.read_nowait()
        if len(body) > limit:
            raise _too_large(limit)
        if lease is not None:
            lease.add(len(body))
    else:
        body = await _receive(request, limit, lease, has_key=has_key)
    if encoding != "identity":
        if lease is None:
            body = _unpack(body, encoding, limit)  # 64 KiB take 0.1 ms
        else:
            lease.add(limit)
            parsing = request.app[POOLS].parsing
            body = await parsing.run(_unpack, body, encoding, limit, caller=owner.user_id)
            is_complete = False
    elif lease is not None and not is_complete:
        parsing = request.app[POOLS].parsing
        body = await parsing.run(bytes, body, caller=owner.user_id)  # 32 MiB take 10 ms
    if has_key and not is_complete:
        await authenticate(request, request.app)
    return bytes(body)  # no copy, unless it is a short bytearray


async def _receive(
    request: web.Request, limit: int, lease: BodyLease | None, *, has_key: bool
) -> bytearray:
    """Return the body as it is sent, once all of it has come."""
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    body = bytearray()
    timeout = request.app[CONFIG].body_timeout
    if not has_key:
        timeout = min(timeout, PUBLIC_BODY_TIMEOUT)
    try:
        with BodyWait(request, expendable=not has_key) as wait:
            async with asyncio.timeout(timeout):
                async for chunk in request.content.iter_any():
                    wait.progress()
                    if len(body) + len(chunk) > limit:
                        raise _too_large(limit)
                    if lease is not None:
                        lease.add(len(chunk))
                    body += chunk
    except TimeoutError as error:
        raise TooSlowError(f"The body may take up to {timeout:g} s.") from error
    except ConnectionError as error:
        raise MalformedError("The connection ended before the body did.") from error
    except (PayloadEncodingError, web.RequestPayloadError) as error:
        raise MalformedError("The body's transfer or content encoding is broken.") from error
    return body


def _unpack(body: bytes | bytearray, encoding: str, limit: int) -> bytes:
    """Return a packed body unpacked. Raises TooLargeError and MalformedError."""
    window = _WINDOWS[encoding]
    if encoding == "deflate" and body[:1] and body[0] & 0xF != _DEFLATE:
        window = -zlib.MAX_WBITS
    unpacked = b""
    try:
        for _ in range(_GZIP_MEMBERS):
            stream = zlib.decompressobj(window)
            unpacked += stream.decompress(body, limit - len(unpacked) + 1)
            if len(unpacked) > limit:
                raise _too_large(limit)
            body = stream.unused_data
            if not stream.eof or not body:
                break
    except zlib.error as error:
        raise MalformedError("The body's transfer or content encoding is broken.") from error
    if not stream.eof or body:
        raise MalformedError("The body's transfer or content encoding is broken.")
    return unpacked


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"The body may have up to {limit} bytes.")


async def read_json(request: web.Request, cls: type[T], *, has_key: bool = True) -> T:
    """Return the request's body as a ``cls``. Raises InvalidError and what read_body does."""
    body = await read_body(request, has_key=has_key)
    return decode_body(body, cls)


async def read_form(request: web.Request) -> dict[str, str]:
    """Return the fields of the form that is the body. Raises what read_body does."""
    body = await read_body(request, has_key=False)
    try:
        pairs = parse_qsl(body.decode(errors="replace"), max_num_fields=_FORM_FIELDS)
    except ValueError as error:
        raise MalformedError(f"The form may have up to {_FORM_FIELDS} fields.") from error
    return dict(pairs)
