"""The two secrets: where their chance comes from, and what they are made of."""

import re
import secrets

import pytest

from service import auth


def test_a_hash_is_made_of_the_systems_bytes_and_no_character_is_likelier(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the 256 bytes each character has four; the eight that are left over are drawn again."""
    monkeypatch.setattr(secrets, "token_bytes", lambda _: bytes(range(256)))
    every = auth.new_share_hash(248)
    assert {every.count(character) for character in set(every)} == {4}
    assert len(set(every)) == 62

    drawn = iter([bytes([250] * 31 + [0]), bytes([255] * 32), bytes([61] * 32)])
    monkeypatch.setattr(secrets, "token_bytes", lambda _: next(drawn))
    assert auth.new_share_hash(16) == "a" + "9" * 15


@pytest.mark.parametrize("length", [16, 40])
def test_a_hash_is_as_long_as_it_is_asked_for(length: int) -> None:
    assert len(auth.new_share_hash(length)) == length


def test_every_character_comes_in_every_place() -> None:
    hashes = [auth.new_share_hash(16) for _ in range(2000)]
    assert len(set(hashes)) == len(hashes)
    assert {len(set(place)) for place in zip(*hashes, strict=True)} == {62}


def test_a_key_is_256_bits_of_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda count: "ab" * count)
    assert auth.new_key() == "lvz_live_" + "ab" * 32
    monkeypatch.undo()
    assert re.fullmatch("lvz_live_[0-9a-f]{64}", auth.new_key())
    assert auth.new_key() != auth.new_key()
