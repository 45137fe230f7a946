"""What a viewer asks of a report: its address's query, read and written."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from multidict import MultiMapping

from service.web.pages.clock import parse_time, time_text
from service.web.pages.folding import fold

FILTERS = ("q", "speaker", "module", "from", "to")
"""The parameters that select findings, of the page and of the downloads."""
PLACES = ("page", "part", "entry", "all")
"""The parameters that say which of them the page shows."""

SEARCH_MAX = 200
"""Characters of a search; further ones are left out."""
WORDS_MAX = 8
_MODULES_MAX = 200
_NUMBER_MAX = 9  # digits of a page or an entry
_WORD = re.compile(r'"([^"]+)"?|(\S+)')


@dataclass(frozen=True, slots=True)
class ReportQuery:
    """A selection of findings, and the page of them that is shown."""

    search: str = ""
    speaker: str = ""
    modules: tuple[str, ...] = ()
    start: float | None = None
    end: float | None = None
    page: int = 1
    entry: int | None = None
    """The position of the finding, from 0 on, that is shown alone."""
    shows_all: bool = False
    former_part: int | None = None
    """A part of 2,000 findings, in addresses of release 0.1.0."""
    problems: tuple[str, ...] = field(default=(), compare=False)
    """What could not be read, in words for the viewer."""

    @property
    def words(self) -> tuple[str, ...]:
        """The folded words of the search, all of which a finding must have."""
        words = (fold(" ".join((a or b).split())) for a, b in _WORD.findall(self.search))
        return tuple(dict.fromkeys(word for word in words if word))[:WORDS_MAX]

    @property
    def is_search(self) -> bool:
        """Whether it looks for findings, rather than at a part of them."""
        return bool(self.words or self.speaker)

    @property
    def is_filtered(self) -> bool:
        """Whether it may leave findings out."""
        has_window = self.start is not None or self.end is not None
        return self.is_search or bool(self.modules) or has_window

    @property
    def start_text(self) -> str:
        """``from``, as the form shows it."""
        return "" if self.start is None else time_text(self.start)

    @property
    def end_text(self) -> str:
        """``to``, as the form shows it."""
        return "" if self.end is None else time_text(self.end)

    def address(self, **changes: Any) -> str:
        """The address of a changed query; the first page of it, unless that is changed, too."""
        fresh = {"page": 1, "entry": None, "shows_all": False, "former_part": None}
        return "?" + (replace(self, **(fresh | changes)).encoded() or "page=1")

    def toggled(self, module: str) -> str:
        """The address with a module added to the filter, or taken out of it."""
        chosen = tuple(name for name in self.modules if name != module)
        return self.address(modules=chosen if module in self.modules else (*chosen, module))

    def encoded(self) -> str:
        """The query of the address."""
        return urlencode(list(self._pairs()), safe=":")

    def filter_only(self) -> "ReportQuery":
        """The query that selects the same findings, without a position among them."""
        return replace(self, page=1, entry=None, shows_all=False, former_part=None)

    def suffix(self) -> str:
        """What a download's address has behind it to select the same findings."""
        query = self.filter_only().encoded()
        return f"?{query}" if query else ""

    def _pairs(self) -> Iterator[tuple[str, str]]:
        if self.search:
            yield "q", self.search
        if self.speaker:
            yield "speaker", self.speaker
        for module in self.modules:
            yield "module", module
        if self.start is not None:
            yield "from", time_text(self.start)
        if self.end is not None:
            yield "to", time_text(self.end)
        if self.shows_all:
            yield "all", "1"
        if self.entry is not None:
            yield "entry", str(self.entry)
        if self.page > 1:
            yield "page", str(self.page)


def read_query(query: MultiMapping[str]) -> ReportQuery:
    """Return what a query asks for. What it cannot mean is left out, and named in ``problems``."""
    problems: list[str] = []
    start, end = (_read_time(query, name, problems) for name in ("from", "to"))
    if start is not None and end is not None and end <= start:
        problems.append("`to` is not after `from`.")
        start = end = None
    names = dict.fromkeys(query.getall("module", ()))
    if len(names) > _MODULES_MAX:
        problems.append(f"More than {_MODULES_MAX} modules are asked for.")
    return ReportQuery(
        search=" ".join(query.get("q", "")[:SEARCH_MAX].split()),
        speaker=" ".join(query.get("speaker", "")[:SEARCH_MAX].split()),
        modules=tuple(names)[:_MODULES_MAX],
        start=start,
        end=end,
        page=_read_number(query, "page") or 1,
        entry=_read_number(query, "entry"),
        shows_all=query.get("all") == "1",
        former_part=_read_number(query, "part") or None,
        problems=tuple(problems),
    )


def _read_time(query: Mapping[str, str], name: str, problems: list[str]) -> float | None:
    text = query.get(name, "")
    if not text.strip():
        return None
    if (seconds := parse_time(text)) is None:
        problems.append(f"`{name}` is no time: write seconds, m:ss or h:mm:ss.")
    return seconds


def _read_number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    is_number = text.isascii() and text.isdecimal() and len(text) <= _NUMBER_MAX
    return int(text) if is_number else None
