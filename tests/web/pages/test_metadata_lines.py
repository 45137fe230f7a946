"""Metadata as short lines: what is in them, and in which order."""

from typing import Any

import pytest

from service.domain.export_bounds import METADATA_DEPTH_MAX
from service.web.pages.metadata_lines import TOO_DEEP, Value, lines_of, values_of


@pytest.mark.parametrize(
    ("metadata", "lines"),
    [
        (None, []),
        ({}, []),
        ([], []),
        ({"a": [], "b": {}, "c": [[], [{}]]}, []),
        ({"a": "", "b": 0, "c": False, "d": None}, ["a: ", "b: 0", "c: no", "d: \u2013"]),
        ({"a": [1, [], 2], "b": {"c": 3, "d": {}}}, ["a: 1, 2", "b \u203a c: 3"]),
        ([1, {}, "x"], ["1, x"]),
        ("text", ["text"]),
    ],
)
def test_lines_have_the_scalars_and_nothing_of_empty_containers(
    metadata: Any, lines: list[str]
) -> None:
    assert lines_of(metadata, 10) == (lines, False)


def test_values_end_where_a_page_ends_to_show_them() -> None:
    deep: Any = "end"
    for _ in range(METADATA_DEPTH_MAX + 1):
        deep = [deep]
    assert [value.value for value in values_of(Value("", deep))] == [TOO_DEEP]
    assert [value.value for value in values_of(Value("", deep[0]))] == ["end"]
