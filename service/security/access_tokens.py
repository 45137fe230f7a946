"""Access tokens: proof that a link was unlocked, signed and not stored."""

import hmac
import re
from collections.abc import Callable

import msgspec

from service.domain import clock
from service.domain.access import AccessGrant, AccessRequirements

SECONDS = 15 * 60
"""How long a token is valid."""
_TOKEN = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8})\.([0-9a-f]{64})")


class Tokens:
    """Makes and verifies access tokens. ``key`` returns the key of the open database."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._key = key

    def make(self, requirements: AccessRequirements, now: str) -> AccessGrant:
        """Return a token for a link that was unlocked."""
        expires_at = clock.to_text(clock.to_seconds(now) + SECONDS)
        token = f"{expires_at}.{self._signature(requirements, expires_at)}"
        return AccessGrant(token, expires_at)

    def is_valid(self, token: str, requirements: AccessRequirements, now: str) -> bool:
        """Return whether a token was made for these requirements and has not expired."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return False
        expires_at, signature = match.groups()
        is_ours = hmac.compare_digest(signature, self._signature(requirements, expires_at))
        return is_ours and now < expires_at

    def _signature(self, requirements: AccessRequirements, expires_at: str) -> str:
        is_limited = bool(requirements.is_limited)  # SQLite says 1, PostgreSQL true
        signed_requirements = msgspec.structs.replace(requirements, is_limited=is_limited)
        signed = msgspec.json.encode((signed_requirements, expires_at))
        return hmac.digest(self._key(), signed, "sha256").hex()
