"""A segment's metadata as HTML: nested lists, cut where they are too long or too deep.

A loop, not a recursion: metadata stored by an earlier release may be nested a thousand deep.
"""

from collections.abc import Iterator
from typing import Any

from markupsafe import Markup, escape

from service.domain.export_bounds import METADATA_DEPTH_MAX

VALUES_SHOWN = 1_000
"""Values of one segment's metadata on a page."""
TEXT_SHOWN = 20_000
"""Characters of these values together."""

_OBJECT = ("<dl>", "</dd></div>", "</dl>")
_ARRAY = ("<ul>", "</li>", "</ul>")

_Child = tuple[str | None, Any]
"""The name of a member, None for an element, and the value."""


class _Budget:
    """What may still be shown, and whether something was left out."""

    def __init__(self) -> None:
        self.values = VALUES_SHOWN
        self.characters = TEXT_SHOWN
        self.is_cut = False

    def take(self, text: str) -> str:
        """The text, or as much of it as may be shown."""
        shown = text[: self.characters]
        self.characters -= len(shown)
        self.is_cut |= len(shown) < len(text)
        return str(escape(shown))


def metadata_html(value: Any, download: str) -> Markup:  # noqa: ANN401 - JSON of any type
    """Metadata as nested lists; with a link to ``download`` if it is not shown whole."""
    budget = _Budget()
    parts = list(_parts(value, budget))
    if budget.is_cut:
        link = escape(download)
        parts.append(f'<p class="cut">Shortened. <a href="{link}" download>Download all</a></p>')
    return Markup("".join(parts))  # noqa: S704 - each text in it is escaped


def _parts(value: Any, budget: _Budget) -> Iterator[str]:  # noqa: ANN401 - JSON of any type
    open_containers: list[tuple[Iterator[_Child], str, str]] = []
    child: _Child | None = (None, value)
    while child is not None:
        name, current = child
        if open_containers:
            budget.values -= 1
            yield "<li>" if name is None else f'<div><dt dir="auto">{budget.take(name)}</dt><dd>'
        if not isinstance(current, dict | list) or not current:
            yield _scalar(current, budget)
        elif len(open_containers) == METADATA_DEPTH_MAX:
            budget.is_cut = True
            yield "…"
        else:
            before, item_end, after = _OBJECT if isinstance(current, dict) else _ARRAY
            yield before
            open_containers.append((_children(current), item_end, after))
            child = _next(open_containers[-1][0], budget)
            if child is not None:
                continue
            open_containers.pop()
            yield after
        child = None
        while open_containers and child is None:
            children, item_end, after = open_containers[-1]
            yield item_end
            child = _next(children, budget)
            if child is None:
                open_containers.pop()
                yield after


def _children(container: dict[str, Any] | list[Any]) -> Iterator[_Child]:
    if isinstance(container, dict):
        yield from container.items()
    else:
        yield from ((None, element) for element in container)


def _next(children: Iterator[_Child], budget: _Budget) -> _Child | None:
    """The next child; None at the end, or if nothing more may be shown."""
    child = next(children, None)
    if child is not None and (budget.values <= 0 or budget.characters <= 0):
        budget.is_cut = True
        return None
    return child


def _scalar(value: Any, budget: _Budget) -> str:  # noqa: ANN401 - JSON of any type
    if isinstance(value, str):
        return f'<span dir="auto">{budget.take(value)}</span>'
    if value is None:
        return "\u2013"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        return f"<code>{'{}' if isinstance(value, dict) else '[]'}</code>"
    return budget.take(str(value))
