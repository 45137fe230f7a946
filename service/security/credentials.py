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
_ALIKE = 3  # characters: of ten million hashes 42 begin alike; a page of the index holds some 120
_NEIGHBOURS = 64  # hashes

_remembered = lru_cache(maxsize=1024)  # a client sends its key with every call


class ShareHashGenerator:
    """Makes share hashes: ``length`` characters of ``[A-Za-z0-9]``, 5.95 bits of chance each.

    Some dozens that are made in a row begin alike, with characters drawn for them. So they lie on
    one page of the database's index, and those who create links at the same time write that page,
    and not each a page of its own. No hash is likelier than another for that; but to whoever knows
    one, the beginning of its neighbours is no secret.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._ready: list[str] = []

    def __call__(self) -> str:
        """Another share hash."""
        if not self._ready:
            beginning, length = _draw(_ALIKE), self._length - _ALIKE
            rest = _draw(length * _NEIGHBOURS)
            self._ready = [
                beginning + rest[place : place + length] for place in range(0, len(rest), length)
            ]
        return self._ready.pop()


def _draw(count: int) -> str:
    """Characters of ``[A-Za-z0-9]``, each as likely as the others.

    Each of 62 characters stands for four of the 256 bytes; the eight that are left over are
    drawn again.
    """
    drawn = b""
    while len(drawn) < count:
        drawn += secrets.token_bytes(2 * count).translate(_CHARACTERS, _LEFT_OVER)
    return drawn[:count].decode()


def new_key() -> str:
    """A new API key: ``lvz_live_`` and 64 hex digits, 256 bits of chance."""
    return f"lvz_live_{secrets.token_hex(32)}"


def visible_prefix(key: str) -> str:
    """What may be shown of a key, so that its user can tell it from others."""
    return f"{key[:_PREFIX_LENGTH]}…"


@_remembered
def hash_key(key: str) -> str:
    """SHA-256 in hex: what is stored in a key's place.

    No salt and no stretching: a key has 256 bits of chance, so there is nothing to guess. A key
    is found by its hash_key, and whoever could time that look-up learns nothing of any key.
    """
    return hashlib.sha256(key.encode()).hexdigest()


@_remembered
def parse_authorization(authorization: str) -> str | None:
    """The API key in an ``Authorization`` header, sent bare or after ``Bearer``; else None."""
    found = _KEY.fullmatch(authorization)
    return None if found is None else found[1]
