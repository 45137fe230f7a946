"""The two secrets: where their chance comes from, and what they are made of."""

import re
import secrets
from collections import Counter

import pytest

from service.security import credentials


def test_hashes_are_made_of_the_systems_bytes_and_no_character_is_likelier(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the 256 bytes each character has four; the eight that are left over are drawn again."""
    monkeypatch.setattr(secrets, "token_bytes", lambda _: bytes(range(256)))
    new_share_hash = credentials.ShareHashGenerator(34)
    ends = "".join(new_share_hash()[3:] for _ in range(64))  # eight times 248 characters
    assert set(Counter(ends).values()) == {8 * 4}
    assert len(set(ends)) == 62

    drawn = iter([bytes([250] * 5 + [0]), bytes([255] * 6), bytes([61] * 6), bytes([1] * 2000)])
    monkeypatch.setattr(secrets, "token_bytes", lambda _: next(drawn))
    assert credentials.ShareHashGenerator(16)() == "a99" + "b" * 13


@pytest.mark.parametrize("length", [16, 40])
def test_a_hash_is_as_long_as_it_is_asked_for(length: int) -> None:
    assert re.fullmatch(f"[A-Za-z0-9]{{{length}}}", credentials.ShareHashGenerator(length)())


def test_some_dozens_of_hashes_begin_alike_and_then_others_do() -> None:
    """Those who create links at the same time write one page of the index."""
    new_share_hash = credentials.ShareHashGenerator(16)
    beginnings = [new_share_hash()[:3] for _ in range(64 * 100)]
    assert all(len(set(beginnings[place : place + 64])) == 1 for place in range(0, 6400, 64))
    assert len(set(beginnings)) > 90


def test_every_character_comes_in_every_place_and_no_hash_comes_twice() -> None:
    new_share_hash = credentials.ShareHashGenerator(16)
    hashes = [new_share_hash() for _ in range(64 * 2000)]
    assert len(set(hashes)) == len(hashes)
    assert {len(set(place)) for place in zip(*hashes, strict=True)} == {62}


def test_a_key_is_256_bits_of_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda count: "ab" * count)
    assert credentials.new_key() == "lvz_live_" + "ab" * 32
    monkeypatch.undo()
    assert re.fullmatch("lvz_live_[0-9a-f]{64}", credentials.new_key())
    assert credentials.new_key() != credentials.new_key()
