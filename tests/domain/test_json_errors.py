"""Errors of a body say what is wrong and where, in short texts that no terminal acts on."""

from typing import Any

import pytest

from service.domain.decoding import decode_body
from service.domain.errors import InvalidError, MalformedError
from service.domain.json_scanner import WINDOW
from service.domain.platform_export import read_export
from service.domain.types import Done

NOW = "2025-01-15T10:00:00"
LONG = b'["' + b"x" * WINDOW * 2


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"a": NaN}', 'valid JSON at byte 6, NaN is not a JSON number: {"a": NaN}'),
        (b"[-Infinity]", "at byte 2, -Infinity is not a JSON number: [-Infinity]"),
        (b"[Infinity]", "at byte 1, Infinity is not a JSON number: [Infinity]"),
        (b'{"a":1}x', 'at byte 7, trailing characters: {"a":1}x'),
        (b'{"a":', 'at byte 5, it ends too early: {"a":'),
        (b"", "at byte 0, it ends too early."),
        (b'["\\ud83c x"]', "at byte 2, half of a surrogate pair"),
        (b'["\\ud83c\\udfac", "\\\\\\ud83c"]', "at byte 20, half of a surrogate pair"),
        (b'["\\ud83c\\u0061"]', "invalid utf-16 surrogate pair"),
        (b'["\n\x1b[31m"]', 'at byte 2, invalid character: ["\ufffd\ufffd[31m"]'),
        (LONG + b'\x01"]', f"at byte {len(LONG)}, invalid character: …xxxxxxxxxxxxxxxxxxxx\ufffd"),
        (b'["\xff"]', "not UTF-8 at byte 2."),
        (LONG + b"\xff", f"not UTF-8 at byte {len(LONG)}."),
        (b"x" * (WINDOW - 2) + b"\xe2\x82", f"not UTF-8 at byte {WINDOW - 2}."),
        (b"x" * (WINDOW - 2) + b"\xe2\x82xx", f"not UTF-8 at byte {WINDOW - 2}."),
        (LONG + b'\\u0000"]', f"NUL character (\\u0000) at byte {len(LONG)}."),
        ('{"a": 1}'.encode("utf-16"), "The body is UTF-16 or UTF-32. JSON is UTF-8."),
        ('{"a": 1}'.encode("utf-16-le"), "The body is UTF-16 or UTF-32. JSON is UTF-8."),
        ('{"a": 1}'.encode("utf-32-be"), "The body is UTF-16 or UTF-32. JSON is UTF-8."),
        (b'\xef\xbb\xbf{"a":1,}', "at byte 10, trailing comma in object"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_decode_body_says_what_is_wrong_and_where(body: bytes, detail: str) -> None:
    with pytest.raises(MalformedError) as caught:
        decode_body(body, Any)
    assert detail in caught.value.detail
    assert caught.value.detail.isprintable()
    assert len(caught.value.detail) < 200


def test_decode_body_takes_a_byte_order_mark() -> None:
    assert decode_body(b"\xef\xbb\xbf[1]", list[int]) == [1]


def test_decode_body_names_an_unknown_field_in_bounds() -> None:
    class Known(Done, forbid_unknown_fields=True, frozen=True):
        pass

    with pytest.raises(InvalidError) as caught:
        decode_body(b'{"' + b"\xe2\x80\xae" * 9_000 + b'": 1}', Known)
    assert "unknown field" in caught.value.detail
    assert caught.value.detail.isprintable()
    assert len(caught.value.detail) < 400


SEGMENT = b'{"module": "m", "start_time": 0, "end_time": 1}'


@pytest.mark.parametrize(
    ("before", "wrong", "behind", "reason"),
    [
        (b'{"name": "x", "duration": ', b"NaN", b"}", "NaN is not a JSON number"),
        (b'{"name": ', b"\x01", b'"x"}', ""),
        (b'{"name": "x"', b"x", b"}", ""),
        (b'{"name": "x", "a": [1, 2', b"}", b"}", ""),
        (b'{"name": "x", "a": [', b",", b"]}", ""),
        (b'{"name": "x", "a": [1], "b": [tru', b"]", b"}", ""),
        (b'{"name": "x"} ', b"{", b"}", ""),
        (b"\xef\xbb\xbf", b"", b"", "it ends too early"),
        (b'{"name": "x", "segments": [' + SEGMENT, b";", b"]}", ""),
        (
            b'{"name": "x", "segments": ['
            + SEGMENT * 1
            + (b"," + SEGMENT) * 3_000
            + b', {"module": "m", "start_time": 0, "end_time": 1, "metadata": {"words": [1, ',
            b"NaN",
            b"]}}]}",
            "NaN is not a JSON number",
        ),
        (
            b'{"name": "x", "scenes": [{"start_time": 0, "end_time": 1, "content": "',
            b"\n",
            b'"}]}',
            "invalid character",
        ),
    ],
)
def test_read_export_says_where_its_json_is_wrong(
    before: bytes, wrong: bytes, behind: bytes, reason: str
) -> None:
    with pytest.raises(MalformedError) as caught:
        read_export(before + wrong + behind, NOW, "job-1")
    # msgspec gives the beginning of a literal such as ``true``.
    position = len(before.removesuffix(b"ru"))
    assert f"at byte {position}" in caught.value.detail
    assert reason in caught.value.detail
