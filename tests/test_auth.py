"""The two secrets: where their chance comes from, and what they are made of."""

import re
import secrets

import pytest

from service import auth


@pytest.mark.parametrize("length", [16, 40])
def test_a_hash_is_a_number_of_the_systems_written_in_62_characters(
    monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    bounds: list[int] = []

    def largest(bound: int) -> int:
        bounds.append(bound)
        return bound - 1

    monkeypatch.setattr(secrets, "randbelow", largest)
    assert auth.new_share_hash(length) == "9" * length
    assert bounds == [62**length]
    monkeypatch.setattr(secrets, "randbelow", lambda _: 0)
    assert auth.new_share_hash(length) == "a" * length


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
