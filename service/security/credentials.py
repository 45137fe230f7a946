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
_SHARED_PREFIX = 3  # characters: of 10 million hashes 42 share them; an index page holds 120
_PREFIX_GROUP = 64  # hashes

_cached = lru_cache(maxsize=1024)  # a client sends its key with every call


class ShareHashGenerator:
    """Makes share hashes: ``length`` characters of ``[A-Za-z0-9]``, 5.95 bits of entropy each.

    64 hashes in a row share their first three characters, which are drawn for them. So they lie on
    one page of the database's index, and links that are created at the same time write that page
    instead of a page each: 18 pages a batch of 32 creates instead of 45. Every hash is equally
    likely; but a hash tells the first three characters of its neighbours.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._ready: list[str] = []

    def __call__(self) -> str:
        """Return a new share hash."""
        if not self._ready:
            prefix, length = _draw(_SHARED_PREFIX), self._length - _SHARED_PREFIX
            rest = _draw(length * _PREFIX_GROUP)
            self._ready = [
                prefix + rest[start : start + length] for start in range(0, len(rest), length)
            ]
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


@_cached
def parse_authorization(authorization: str) -> str | None:
    """Return the API key in an ``Authorization`` header, bare or after ``Bearer``; else None."""
    match = _KEY.fullmatch(authorization)
    return None if match is None else match[1]
