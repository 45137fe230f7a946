"""The two secrets, API keys and share hashes: how they look, how they are made, what is stored."""

import hashlib
import re
import secrets
import string
from functools import lru_cache

_KEY = re.compile(r"\s*(?:(?i:Bearer) +)?(lvz_live_[0-9a-f]{64})\s*")
_PREFIX_LENGTH = len("lvz_live_") + 6
_ALPHABET = (string.ascii_letters + string.digits).encode()
_CHARACTERS = _ALPHABET * 4 + bytes(8)
_LEFT_OVER = bytes(range(248, 256))

_remembered = lru_cache(maxsize=1024)  # a client sends its key with every call


def new_share_hash(length: int) -> str:
    """A share hash of ``length`` characters of ``[A-Za-z0-9]``: 5.95 bits of chance each.

    Each of 62 characters stands for four of the 256 bytes; the eight that are left over are
    drawn again, so that none is likelier than another.
    """
    drawn = b""
    while len(drawn) < length:
        drawn += secrets.token_bytes(2 * length).translate(_CHARACTERS, _LEFT_OVER)
    return drawn[:length].decode()


def new_key() -> str:
    """A new API key: ``lvz_live_`` and 64 hex digits, 256 bits of chance."""
    return f"lvz_live_{secrets.token_hex(32)}"


def visible_prefix(key: str) -> str:
    """What may be shown of a key, so that its user can tell it from others."""
    return f"{key[:_PREFIX_LENGTH]}…"


@_remembered
def digest(key: str) -> str:
    """SHA-256 in hex: what is stored in a key's place.

    No salt and no stretching: a key has 256 bits of chance, so there is nothing to guess. A key
    is found by its digest, and whoever could time that look-up learns nothing of any key.
    """
    return hashlib.sha256(key.encode()).hexdigest()


@_remembered
def key_in(authorization: str) -> str | None:
    """The API key in an ``Authorization`` header, sent bare or after ``Bearer``; else None."""
    found = _KEY.fullmatch(authorization)
    return None if found is None else found[1]
