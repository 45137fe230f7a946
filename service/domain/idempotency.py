"""Calls that may come twice: by what one that comes again is known."""

import hashlib
import hmac
import re

import msgspec

from service.domain.errors import InvalidError

KEY_MAX = 255
_KEY = re.compile(rf"[ -~]{{1,{KEY_MAX}}}")


class IdempotencyRecord(msgspec.Struct, frozen=True):
    """What is stored of a call that is to be made once.

    A body may hold a password, so its digest is one that nobody can compute who has not got the
    key, and of the key there is no more than a digest either.
    """

    key: str
    body: str


def check_key(key: str) -> None:
    """Raises InvalidError for an ``Idempotency-Key`` that may not be one: bytes of a header."""
    if not _KEY.fullmatch(key):
        raise InvalidError(f"An `Idempotency-Key` is 1 to {KEY_MAX} printable ASCII characters.")


def idempotency_record(key: str, body: msgspec.Struct) -> IdempotencyRecord:
    """What is to be stored of a call with this key.

    Bodies that say the same in other words, or in another order, are the same body.
    """
    said = msgspec.json.encode(body)
    return IdempotencyRecord(
        key=hashlib.sha256(key.encode()).hexdigest(),
        body=hmac.digest(key.encode(), said, "sha256").hex(),
    )
