"""The two secrets: where their chance comes from, and what they are made of."""

import re
import secrets
from collections import Counter
from itertools import pairwise

import pytest

from service.security import credentials


def test_share_hash_characters_are_drawn_evenly_from_system_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the 256 bytes each character has four; the eight that are left over are drawn again."""
    monkeypatch.setattr(secrets, "token_bytes", lambda _: bytes(range(256)))
    new_share_hash = credentials.ShareHashGenerator(31)
    drawn = "".join(new_share_hash() for _ in range(64))  # eight times 248 characters
    assert set(Counter(drawn).values()) == {8 * 4}
    assert len(set(drawn)) == 62

    chunks = iter([bytes([250] * 5 + [0]), bytes([255] * 6), bytes([61] * 6), bytes([1] * 2000)])
    monkeypatch.setattr(secrets, "token_bytes", lambda _: next(chunks))
    new_share_hash = credentials.ShareHashGenerator(16)
    assert [new_share_hash() for _ in range(64)][-1] == "a" + "9" * 6 + "b" * 9


@pytest.mark.parametrize("length", [16, 40])
def test_share_hash_has_the_requested_length(length: int) -> None:
    assert re.fullmatch(f"[A-Za-z0-9]{{{length}}}", credentials.ShareHashGenerator(length)())


def test_share_hashes_in_a_row_have_nothing_in_common() -> None:
    """A holder of one hash learns nothing about the next: 1 in 62 share the first character."""
    new_share_hash = credentials.ShareHashGenerator(16)
    hashes = [new_share_hash() for _ in range(64 * 100)]
    for position in range(16):
        alike = sum(one[position] == other[position] for one, other in pairwise(hashes))
        assert alike < 200, position  # 103 are expected, with a deviation of 10
    assert len({share_hash[:3] for share_hash in hashes}) > 6_000


def test_share_hashes_are_unique_and_use_every_character() -> None:
    new_share_hash = credentials.ShareHashGenerator(16)
    hashes = [new_share_hash() for _ in range(64 * 2000)]
    assert len(set(hashes)) == len(hashes)
    assert {len(set(place)) for place in zip(*hashes, strict=True)} == {62}


def test_api_key_has_256_bits_from_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda count: "ab" * count)
    assert credentials.new_key() == "lvz_live_" + "ab" * 32
    monkeypatch.undo()
    assert re.fullmatch("lvz_live_[0-9a-f]{64}", credentials.new_key())
    assert credentials.new_key() != credentials.new_key()
