"""The two secrets, API keys and share hashes: how they look, how they are made, what is stored."""

import hashlib
import re
import secrets
import string

_KEY = re.compile(r"lvz_live_[0-9a-f]{64}")
_BEARER = re.compile(r"Bearer +", re.IGNORECASE)
_PREFIX_LENGTH = len("lvz_live_") + 6
_ALPHABET = string.ascii_letters + string.digits


def new_share_hash(length: int) -> str:
    """A share hash of ``length`` characters of ``[A-Za-z0-9]``: 5.95 bits of chance each."""
    number = secrets.randbelow(len(_ALPHABET) ** length)
    characters = []
    for _ in range(length):
        number, place = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[place])
    return "".join(characters)


def new_key() -> str:
    """A new API key: ``lvz_live_`` and 64 hex digits, 256 bits of chance."""
    return f"lvz_live_{secrets.token_hex(32)}"


def visible_prefix(key: str) -> str:
    """What may be shown of a key, so that its user can tell it from others."""
    return f"{key[:_PREFIX_LENGTH]}…"


def digest(key: str) -> str:
    """SHA-256 in hex: what is stored in a key's place.

    No salt and no stretching: a key has 256 bits of chance, so there is nothing to guess. A key
    is found by its digest, and whoever could time that look-up learns nothing of any key.
    """
    return hashlib.sha256(key.encode()).hexdigest()


def key_in(authorization: str) -> str | None:
    """The API key in an ``Authorization`` header, sent bare or after ``Bearer``; else None."""
    key = _BEARER.sub("", authorization.strip(), count=1)
    return key if _KEY.fullmatch(key) else None
