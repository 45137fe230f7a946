"""Idempotency keys: how a repeated call is recognised."""

import hashlib
import hmac
import re

import msgspec

from service.domain.errors import InvalidError

KEY_MAX = 255
_KEY = re.compile(rf"[ -~]{{1,{KEY_MAX}}}")


# A null of these is part of the digest, as in the first release. A null of a later field is not:
# a record made before an upgrade still matches the same body.
_NULLS_IN_DIGEST = frozenset(
    {"expires_at", "not_before", "max_views", "password", "label", "modules"}
)


class IdempotencyRecord(msgspec.Struct, frozen=True):
    """What is stored of a call with an idempotency key: digests, in hexadecimal.

    A body may hold a password, so its digest is keyed with the idempotency key, of which only a
    digest is stored: nobody who reads the database can try bodies against it.
    """

    key: str
    body: str


def check_key(key: str) -> None:
    """Raise InvalidError unless the value of ``Idempotency-Key`` is printable ASCII and short."""
    if not _KEY.fullmatch(key):
        raise InvalidError(f"An `Idempotency-Key` is 1 to {KEY_MAX} printable ASCII characters.")


def idempotency_record(key: str, body: msgspec.Struct) -> IdempotencyRecord:
    """Return the record of a call with this key.

    Bodies with the same fields have the same digest, whatever their order and spelling as JSON.
    """
    fields = {
        name: None if value is msgspec.UNSET else value
        for name, value in msgspec.structs.asdict(body).items()
        if value is not None or name in _NULLS_IN_DIGEST
    }
    return IdempotencyRecord(
        key=hashlib.sha256(key.encode()).hexdigest(),
        body=hmac.digest(key.encode(), msgspec.json.encode(fields), "sha256").hex(),
    )
