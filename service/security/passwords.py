"""Passwords of links: their digests, computed in threads with a fair share for each caller."""

import base64
import hashlib
import hmac
import secrets
import unicodedata
from collections.abc import Hashable
from typing import NamedTuple, TypeVar

import msgspec

from service.concurrency.bounded_pool import BoundedPool
from service.domain.links import PASSWORD_MAX, NewSharedReport, SharedReportChange

Request = TypeVar("Request", NewSharedReport, SharedReportChange)

_THREADS = 2  # each computation takes 16 MiB and 50 ms of a processor
_QUEUE_SIZE = 100
_CALLER_LIMIT = 10
_SALT_BYTES = 16


class _Cost(NamedTuple):
    """The cost parameters of scrypt."""

    n: int
    r: int
    p: int


_COST = _Cost(2**14, 8, 1)


class Passwords:
    """Hashes and checks passwords.

    ``caller`` is who asks: an owner's user id, whatever their API keys, or a viewer's rate limit
    key. Callers take turns, so one caller's passwords delay another's by 50 ms, however many they
    are.
    """

    def __init__(self) -> None:
        self.pool = BoundedPool(
            "passwords", _THREADS, queue_size=_QUEUE_SIZE, caller_limit=_CALLER_LIMIT
        )

    async def hash_password(
        self, request: Request, salted_with: bytes | None = None, *, caller: Hashable = None
    ) -> Request:
        """The request with a digest in the place of its password, if it has one.

        The salt is random, or derived from ``salted_with``. Raises UnavailableError if too many
        calls wait.
        """
        if not isinstance(request.password, str):
            return request
        if salted_with is None:
            salt = secrets.token_bytes(_SALT_BYTES)
        else:
            salt = hashlib.sha256(salted_with).digest()[:_SALT_BYTES]
        key = await self._scrypt(request.password, salt, _COST, caller)
        cost = "$".join(map(str, _COST))
        digest = f"scrypt${cost}${_text(salt)}${_text(key)}"
        return msgspec.structs.replace(request, password=digest)

    async def is_right(self, password: str, digest: str, *, caller: Hashable = None) -> bool:
        """Whether a digest is the password's. Raises UnavailableError if too many calls wait.

        A password longer than PASSWORD_MAX is wrong, and not computed: normalizing it could take
        seconds.
        """
        if len(password) > PASSWORD_MAX:
            return False
        _, n, r, p, salt, stored = digest.split("$")
        cost = _Cost(int(n), int(r), int(p))
        key = await self._scrypt(password, base64.b64decode(salt), cost, caller)
        return hmac.compare_digest(key, base64.b64decode(stored))

    def close(self) -> None:
        """Reject the calls that wait, and end the threads."""
        self.pool.close()

    async def _scrypt(self, password: str, salt: bytes, cost: _Cost, caller: Hashable) -> bytes:
        # The same characters may be typed as other code points.
        secret = unicodedata.normalize("NFC", password).encode()
        return await self.pool.run(
            lambda: hashlib.scrypt(secret, salt=salt, n=cost.n, r=cost.r, p=cost.p, dklen=32),
            caller=caller,
        )


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
