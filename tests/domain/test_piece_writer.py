import errno
import os
from random import Random
from typing import Self

import pytest

from service.domain import piece_writer
from service.domain.piece_writer import PieceWriter, json_array


@pytest.mark.parametrize("missing", [[], ["memfd_create"]])
@pytest.mark.parametrize("longest", [10, 1_000, 300_000])
def test_pieces_of_any_size_are_joined_in_their_order(
    longest: int, missing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in missing:  # as on other systems
        monkeypatch.delattr(os, name)
    random = Random(longest)
    pieces = [random.randbytes(random.randrange(longest)) for _ in range(200)]
    writer = PieceWriter()
    for piece in pieces:
        writer.write(piece)
    assert writer.getvalue() == b"".join(pieces)


def test_pieces_are_joined_though_no_file_can_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_name: str) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "memfd_create", refuse)
    writer = PieceWriter()
    for _ in range(3):
        writer.write(b"x" * 100_000)
    assert writer.getvalue() == b"x" * 300_000


def test_nothing_is_empty() -> None:
    assert PieceWriter().getvalue() == b""
    assert json_array([]) == b"[]"


def test_json_array_has_its_elements() -> None:
    assert json_array([b"1", b"[2]", b"3"]) == b"[1,[2],3]"


def test_at_most_one_step_is_joined_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A larger one would hold the interpreter's lock for long: a large piece is joined to none."""
    written: list[int] = []
    monkeypatch.setattr(piece_writer, "_open_memory", lambda: _File(written))
    writer = PieceWriter()
    for size in (1, 100_000, 31_071, 2**20, 5, 2**17, 7):
        writer.write(bytes(size))
    writer.getvalue()
    assert max(size for size in written if size != 2**20) <= 2**17
    assert sum(written) == 1 + 100_000 + 31_071 + 2**20 + 5 + 2**17 + 7


class _File:
    """Notes how much is written at once, and takes the half of it."""

    def __init__(self, written: list[int]) -> None:
        self._written = written

    def write(self, view: memoryview) -> int:
        taken = max(len(view) // 2, 1) if len(view) < 2**17 else len(view)
        self._written.append(taken)
        return taken

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def tell(self) -> int:
        return sum(self._written)

    def seek(self, _position: int) -> None:
        pass

    def read(self, _size: int) -> bytes:
        return b""
