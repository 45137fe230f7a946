"""The scanner finds the same values as a whole decode does, and no step of it is long."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain import decoding, json_scanner
from service.domain.decoding import check_text
from service.domain.errors import InvalidError, MalformedError
from service.domain.export_bounds import METADATA_BYTES_MAX
from service.domain.json_scanner import WINDOW, JsonScanner
from service.domain.platform_export import read_export

strings = st.text('a"\\[{]},: \u00e9\n\U0001f3ac', max_size=9)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(-1.5e-9) | strings,
    lambda inner: st.lists(inner) | st.dictionaries(strings, inner),
    max_leaves=9,
)
layouts = st.sampled_from([None, 0, 2])
# A busy machine takes long to draw an example; no test here asserts on time.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module", params=[7, WINDOW])
def window(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (json_scanner, decoding):
            patch.setattr(module, "WINDOW", request.param)
        yield


def texts(body: bytes, spans: Any) -> list[Any]:
    return [json.loads(body[slice(*span)]) for span in spans]


@pytest.mark.usefixtures("window")
@untimed
@given(st.lists(values), layouts, st.booleans())
def test_json_scanner_finds_every_element(
    items: list[Any],
    indent: int | None,
    ascii_only: bool,  # noqa: FBT001 - given by position
) -> None:
    body = json.dumps(items, indent=indent, ensure_ascii=ascii_only).encode()
    scanner = JsonScanner(body)
    assert texts(body, scanner.elements()) == items
    assert scanner.peek() == -1


@pytest.mark.usefixtures("window")
@untimed
@given(st.dictionaries(strings, values), layouts)
def test_json_scanner_finds_every_member(item: dict[str, Any], indent: int | None) -> None:
    body = json.dumps(item, indent=indent).encode()
    scanner = JsonScanner(body)
    pairs = []
    for name in scanner.members():
        pairs += texts(body, [name, scanner.value()])
    assert pairs == [part for pair in item.items() for part in pair]
    assert scanner.peek() == -1


@pytest.mark.parametrize(
    "body",
    [
        '{"name"',
        '{"name": "x"',
        '{"name": "x",}',
        '{"name": "x"} {}',
        '{"name": "x", "a": [1, 2}}',
        '{"name": "x", "a": ]}',
        '{"name": "x", "a": "\\',
        '{"name": "x", "a": "b\\"}',
        '{"name": "x", "a": [NaN]}',
        '{"name": "x", "a": [tru]}',
        '{"name": "x", "segments": [}',
        '{"name": "x", "segments": [,]}',
        '{"name": "x", "segments": [{}',
        '{"name": "x" "a": 1}',
        '{name: "x"}',
        "{" * 2_000,
        '{"name": "x", "a": ' + "[" * 2_000,
        "",
        " ",
    ],
)
def test_read_export_rejects_what_is_not_json(body: str) -> None:
    with pytest.raises(MalformedError):
        read_export(body.encode(), "2025-01-15T10:00:00", "job-1")


@pytest.mark.usefixtures("window")
@untimed
@given(st.integers(0, 20), st.integers(0, 9), st.booleans())
def test_check_text_finds_nul_behind_any_run_of_backslashes(
    backslashes: int,
    before: int,
    doubled: bool,  # noqa: FBT001 - given by position
) -> None:
    body = b'{"' + b"x" * before + b"\\" * backslashes + b"u0000" + b"\\\\" * doubled + b'y"}'
    is_nul = backslashes % 2 == 1
    assert (b"\\u0000" in body) >= is_nul
    try:
        check_text(body)
    except MalformedError:
        assert is_nul
    else:
        assert not is_nul


@pytest.mark.usefixtures("window")
@untimed
@given(strings, st.integers(0, 200))
def test_check_text_finds_bad_utf8_anywhere(text: str, at: int) -> None:
    body = json.dumps(text, ensure_ascii=False).encode()
    check_text(body)
    with pytest.raises(MalformedError):
        check_text(body[: at % len(body)] + b"\xff" + body[at % len(body) :])


MANY = 3 * WINDOW
ATTACKS = {
    "empty lists": b'{"name":"x","junk":[' + b"[]," * MANY + b"[]]}",
    "empty strings": b'{"name":"x","junk":[' + b'"",' * MANY + b'""]}',
    "backslashes": b'{"name":"x","junk":"' + b"\\\\" * MANY + b'"}',
    "nul": b'{"name":"x","junk":"' + b"\\\\" * MANY + b'\\u0000"}',
    "deep lists": b'{"name":"x","junk":[' + b"[[[[[[]]]]]]," * MANY + b"[]]}",
    "long lists at each level": b'{"name":"x","junk":' + (b"[" + b"[]," * 9_000) * 9 + b"1}",
    "module list": b'{"name":"x","m":['
    + b'{"start_time":0,"end_time":1,"metadata":[[[[[]]]]]},' * 5_000
    + b'{"start_time":0,"end_time":1}]}',
    "unknown lists of a segment": b'{"name":"x","m":[{"start_time":0,"end_time":1,"x":['
    + b"[]," * 2 * METADATA_BYTES_MAX
    + b"[]]}]}",
    "unknown members of a segment": b'{"name":"x","m":[{"start_time":0,"end_time":1'
    + b',"long-name":1' * METADATA_BYTES_MAX
    + b"}]}",
    "digits": b'{"name":"x","junk":' + b"1" * MANY + b"}",
    "white space": b'{"name":"x"' + b" " * MANY + b"}",
    "long name": b'{"name":"x","' + b"n" * MANY + b'":1}',
    "metadata": b'{"name":"x","segments":[{"module":"m","start_time":0,"end_time":1,"metadata":['
    + b"[]," * MANY
    + b"[]]}]}",
    "segments": b'{"name":"x","segments":['
    + b'{"module":"m","start_time":0,"end_time":1},' * 5_000
    + b'{"module":"m","start_time":0,"end_time":1}]}',
}


class Recorder:
    """Stands in for a pattern, and records how many bytes each match may read."""

    def __init__(self, pattern: Any) -> None:
        self.pattern = pattern
        self.longest = 0

    def match(self, body: bytes, start: int, end: int) -> Any:
        self.longest = max(self.longest, end - start)
        return self.pattern.match(body, start, end)


REJECTED = {"nul", "metadata", "long lists at each level", "unknown members of a segment"}


@pytest.mark.parametrize("name", ATTACKS)
def test_read_export_takes_no_long_step(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No call into C reads much of a body: each holds the interpreter lock to its end."""
    recorders = [Recorder(getattr(json_scanner, f"_{each}")) for each in PATTERNS]
    for each, recorder in zip(PATTERNS, recorders, strict=True):
        monkeypatch.setattr(json_scanner, f"_{each}", recorder)
    decoded: list[int] = []
    decode = msgspec.json.decode

    def record(part: bytes, **kwargs: Any) -> Any:
        decoded.append(len(part))
        return decode(part, **kwargs)

    monkeypatch.setattr(msgspec.json, "decode", record)
    try:
        read_export(ATTACKS[name], "2025-01-15T10:00:00", "job-1")
    except (InvalidError, MalformedError):
        assert name in REJECTED
    assert all(recorder.longest <= WINDOW for recorder in recorders)
    assert max(decoded, default=0) <= (METADATA_BYTES_MAX if name == "metadata" else WINDOW)


PATTERNS = ("FLAT", "SHALLOW", "STRING", "SCALAR", "SPACE")
