"""Passwords of links: what is stored in their place, and checking them without delaying others."""

import asyncio
import base64
import hashlib
import hmac
import secrets
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import msgspec

from service.domain.errors import UnavailableError
from service.domain.links import PASSWORD_MAX, NewSharedReport, SharedReportChange

Asked = TypeVar("Asked", NewSharedReport, SharedReportChange)

_AT_ONCE = 2  # each takes 16 MiB and some 50 ms of a processor
_WAITING_MAX = 100
_SALT_BYTES = 16


class _Cost(NamedTuple):
    """What scrypt is given beside the password and the salt."""

    n: int
    r: int
    p: int


_COST = _Cost(2**14, 8, 1)


class Passwords:
    """Hashes and checks passwords in threads of its own, few at a time."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="passwords")
        self._waiting = 0

    async def hide(self, asked: Asked, salted_with: bytes | None = None) -> Asked:
        """What is asked of a link, with a digest in its password's place: nothing else is stored.

        The salt is by chance, or made of ``salted_with``. Raises UnavailableError where too many
        wait already.
        """
        if not isinstance(asked.password, str):
            return asked
        if salted_with is None:
            salt = secrets.token_bytes(_SALT_BYTES)
        else:
            salt = hashlib.sha256(salted_with).digest()[:_SALT_BYTES]
        found = await self._scrypt(asked.password, salt, _COST)
        numbers = "$".join(map(str, _COST))
        digest = f"scrypt${numbers}${_text(salt)}${_text(found)}"
        return msgspec.structs.replace(asked, password=digest)

    async def is_right(self, password: str, digest: str) -> bool:
        """Whether a digest is the password's. Raises UnavailableError likewise.

        One that is longer than any may be is not: to put its characters into one form could take
        seconds, in which nothing else is answered.
        """
        if len(password) > PASSWORD_MAX:
            return False
        _, n, r, p, salt, stored = digest.split("$")
        found = await self._scrypt(password, base64.b64decode(salt), _Cost(int(n), int(r), int(p)))
        return hmac.compare_digest(found, base64.b64decode(stored))

    def close(self) -> None:
        """End the threads, once what they are at is done."""
        self._threads.shutdown(cancel_futures=True)

    async def _scrypt(self, password: str, salt: bytes, cost: _Cost) -> bytes:
        if self._waiting >= _WAITING_MAX:
            raise UnavailableError("Too many passwords are being checked. Try again.")
        self._waiting += 1
        try:
            # The same characters may be typed as other code points.
            said = unicodedata.normalize("NFC", password).encode()
            return await asyncio.get_running_loop().run_in_executor(
                self._threads,
                lambda: hashlib.scrypt(said, salt=salt, n=cost.n, r=cost.r, p=cost.p, dklen=32),
            )
        finally:
            self._waiting -= 1


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
