"""API keys and share hashes: their form, how they are made, what is stored."""

import hashlib
import re
import secrets
import string
from functools import lru_cache

_KEY = re.compile(r"\s*(?:(?i:Bearer) +)?(lvz_live_[0-9a-f]{64})\s*")
_PREFIX_LENGTH = len("lvz_live_") + 6
_ALPHABET = (string.ascii_letters + string.digits).encode()
_CHARACTERS = _ALPHABET * 4 + bytes(8)
_REJECTED = bytes(range(248, 256))
_DRAWN_AT_ONCE = 64  # hashes

_cached = lru_cache(maxsize=1024)  # a client sends its key with every call


class ShareHashGenerator:
    """Makes share hashes: ``length`` characters of ``[A-Za-z0-9]``, 5.95 bits of entropy each.

    Each hash is independent of all others. The random bytes of 64 hashes are drawn at once, because
    a call of the system's generator costs more than the bytes.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._ready: list[str] = []

    def __call__(self) -> str:
        """Return a new share hash."""
        if not self._ready:
            length = self._length
            drawn = _draw(length * _DRAWN_AT_ONCE)
            self._ready = [drawn[start : start + length] for start in range(0, len(drawn), length)]
        return self._ready.pop()


def _draw(count: int) -> str:
    """Return ``count`` random characters of ``[A-Za-z0-9]``, all equally likely.

    Each of the 62 characters stands for four of the 256 byte values; the eight values left over
    are drawn again.
    """
    drawn = b""
    while len(drawn) < count:
        drawn += secrets.token_bytes(2 * count).translate(_CHARACTERS, _REJECTED)
    return drawn[:count].decode()


def new_key() -> str:
    """Return a new API key: ``lvz_live_`` and 64 hex digits, 256 bits of entropy."""
    return f"lvz_live_{secrets.token_hex(32)}"


def new_token() -> str:
    """Return a new token of 256 bits of entropy, for a session, a form or a one-time link."""
    return secrets.token_urlsafe(32)


def visible_prefix(key: str) -> str:
    """Return the part of a key that may be shown, so that its user can tell it from others."""
    return f"{key[:_PREFIX_LENGTH]}…"


@_cached
def hash_key(key: str) -> str:
    """Return the SHA-256 of a key in hex, which is stored in its place.

    No salt and no stretching: a key has 256 bits of entropy, so there is nothing to guess. A key
    is looked up by its hash: the time of the look-up tells nothing about any key.
    """
    return hashlib.sha256(key.encode()).hexdigest()


def digest_of(token: str) -> str:
    """Return the SHA-256 of a session's token in hex. A token from outside may be any text."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


@_cached
def parse_authorization(authorization: str) -> str | None:
    """Return the API key in an ``Authorization`` header, bare or after ``Bearer``; else None."""
    match = _KEY.fullmatch(authorization)
    return None if match is None else match[1]
