"""Metadata of any shape as short lines: the names that lead to a value, and the value."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from service.domain.export_bounds import METADATA_DEPTH_MAX

TOO_DEEP = "\u2026"
"""What stands for values deeper than a page shows."""
_NAME_SHOWN = 100  # characters
_PATH_SHOWN = 200
_TEXT_READ = 1_000
_VALUES_READ = 1_000  # of one finding
_LIST_SHOWN = 8  # scalars of a list in one line
_VALUE_SHOWN = 200  # characters


class Value(NamedTuple):
    """A scalar, or a short list of them, and the names of the members that lead to it."""

    name: str
    value: Any


def values_of(value: Value) -> Iterator[Value]:
    """All scalars in a value in their order; the elements of a list have the list's name.

    A loop, not a recursion, and no deeper than a page shows.
    """
    waiting: list[Iterator[Value]] = [iter((value,))]
    while waiting:
        item = next(waiting[-1], None)
        if item is None:
            waiting.pop()
        elif not isinstance(item.value, dict | list):
            yield item
        elif len(waiting) <= METADATA_DEPTH_MAX:
            waiting.append(_children(item))
        else:
            yield Value(item.name, TOO_DEEP)


def texts_of(metadata: Any) -> Iterator[str]:  # noqa: ANN401 - JSON of any type
    """All texts and numbers of some metadata."""
    return (str(value) for _, value in values_of(Value("", metadata)) if value is not None)


def lines_of(metadata: Any, lines_max: int) -> tuple[list[str], bool]:  # noqa: ANN401 - JSON of any type
    """The first lines of some metadata, and whether something was left out; none of null."""
    if metadata is None:
        return [], False
    lines: list[str] = []
    texts: list[str] = []
    name, is_cut = "", False

    def close() -> None:
        nonlocal is_cut
        if texts:
            shown = ", ".join(texts[:_LIST_SHOWN])
            lines.append(f"{name}: {shown}" if name else shown)
            is_cut |= len(texts) > _LIST_SHOWN

    for number, item in enumerate(values_of(Value("", metadata))):
        is_cut |= number == _VALUES_READ or item.value is TOO_DEEP
        if number == _VALUES_READ:
            break
        if item.name != name:
            close()
            name, texts = item.name, []
            if len(lines) >= lines_max:
                return lines, True
        text = scalar_text(item.value)
        is_cut |= len(text) > _VALUE_SHOWN
        if len(texts) <= _LIST_SHOWN:
            texts.append(text[:_VALUE_SHOWN])
    close()
    return lines, is_cut


def scalar_text(value: Any) -> str:  # noqa: ANN401 - JSON of any type
    """A scalar in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "\u2013" if value is None else " ".join(str(value)[:_TEXT_READ].split())


def _children(container: Value) -> Iterator[Value]:
    """What a container holds but empty containers: a finding may have 10,000 of them."""
    name, value = container
    if isinstance(value, dict):
        for key, child in value.items():
            if child or not isinstance(child, dict | list):
                part = key[:_NAME_SHOWN]
                yield Value(f"{name} \u203a {part}"[:_PATH_SHOWN] if name else part, child)
    else:
        for child in value:
            if child or not isinstance(child, dict | list):
                yield Value(name, child)
