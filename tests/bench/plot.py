"""A small plot of views and creates, to be read on light and on dark."""

from html import escape

from report import Results
from rounds import Cells

CONNECTIONS = 32
PLOTS = {
    "view": "Views a second",
    "create": "Creates a second, each synced to the disk but by PocketBase",
}

_NAMES = {
    "limit": "bare aiohttp, no database",
    "ours": "Shared Reports",
    "ours-postgresql": "Shared Reports, PostgreSQL",
    "naive": "aiohttp + aiosqlite",
    "fastapi": "FastAPI + aiosqlite",
    "pocketbase": "PocketBase",
    "naive-postgresql": "aiohttp + asyncpg",
}
_WIDTH, _LEFT, _BAR, _ROW, _TITLE = 620, 180, 370, 22, 30
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
rect { fill: #8c959f }
.limit { fill: #c8ced5 }
.ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  rect { fill: #7d8590 }
  .limit { fill: #3d444d }
  .ours { fill: #4493f8 }
}
"""


def draw(results: Results) -> str:
    """The plot as SVG: a row of bars for each scenario, a bar for each party."""
    y = 0
    parts = []
    for scenario, title in PLOTS.items():
        cells = results.cells[scenario][CONNECTIONS]
        parts.append(_text(0, y + 18, f"{title} ({CONNECTIONS} connections)", "title"))
        parts += _bars(cells, y + _TITLE)
        y += _TITLE + _ROW * len(cells) + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}"'
        f' viewBox="0 0 {_WIDTH} {y}" role="img">\n'
        f"<title>{escape(_summary(results))}</title>\n<style>{_STYLE}</style>\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _bars(cells: Cells, y: int) -> list[str]:
    most = max(cell.per_second for cell in cells.values())
    parts = []
    for row, (name, cell) in enumerate(cells.items()):
        top = y + row * _ROW
        width = max(1, round(cell.per_second / most * _BAR))
        parts += [
            _text(0, top + 13, _NAMES.get(name, name), "name"),
            f'<rect class="{escape(name)}" x="{_LEFT}" y="{top}" width="{width}" height="16"/>',
            _text(_LEFT + width + 6, top + 13, f"{cell.per_second:,.0f}", "value"),
        ]
    return parts


def _text(x: int, y: int, text: str, style: str) -> str:
    return f'<text class="{style}" x="{x}" y="{y}">{escape(text)}</text>'


def _summary(results: Results) -> str:
    """The plot in words, for those who can't see it."""
    return "; ".join(
        f"{title}: "
        + ", ".join(
            f"{_NAMES.get(name, name)} {cell.per_second:,.0f}"
            for name, cell in results.cells[scenario][CONNECTIONS].items()
        )
        for scenario, title in PLOTS.items()
    )
