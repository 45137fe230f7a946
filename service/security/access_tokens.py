"""Tokens: what whoever has opened a link brings along to see its report again."""

import hmac
import re

import msgspec

from service.domain import clock
from service.domain.access import AccessGrant, AccessRequirements

SECONDS = 15 * 60
"""How long a token is good for."""
_TOKEN = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8})\.([0-9a-f]{64})")


class Tokens:
    """Makes tokens and knows them again by their signature; none is stored."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, gate: AccessRequirements, now: str) -> AccessGrant:
        """A token for a link that has been opened."""
        expires_at = clock.to_text(clock.to_seconds(now) + SECONDS)
        return AccessGrant(f"{expires_at}.{self._signature(gate, expires_at)}", expires_at)

    def opens(self, token: str, gate: AccessRequirements, now: str) -> bool:
        """Whether a token was made for a link that asks for what this one does, and lives still."""
        found = _TOKEN.fullmatch(token)
        if found is None:
            return False
        expires_at, signature = found.groups()
        is_ours = hmac.compare_digest(signature, self._signature(gate, expires_at))
        return is_ours and now < expires_at

    def _signature(self, gate: AccessRequirements, expires_at: str) -> str:
        signed = msgspec.json.encode((gate, expires_at))
        return hmac.digest(self._key, signed, "sha256").hex()
