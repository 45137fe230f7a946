"""Plots of numbers over time, one above the other, to be read on light and on dark."""

from typing import Any

_PANELS = {
    "memory": "Memory, MiB",
    "files": "Open files",
    "wal": "Write-ahead log, MiB",
    "p50": "A view, the median, ms",
    "p99": "A view, the 99th of 100, ms",
    "requests": "Requests in five seconds",
}
_WIDTH, _HEIGHT, _GAP, _LEFT = 620, 64, 30, 52
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
polyline { fill: none; stroke: #0969da; stroke-width: 1.5 }
line { stroke: #d1d9e0 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  polyline { stroke: #4493f8 }
  line { stroke: #3d444d }
}
"""


def draw(samples: list[dict[str, Any]]) -> str:
    """The plots as SVG, each from nought to its greatest number."""
    last = samples[-1]["minute"]
    parts = []
    for row, (name, title) in enumerate(_PANELS.items()):
        top = row * (_HEIGHT + _GAP) + 20
        most = max(each[name] for each in samples) or 1
        points = " ".join(
            f"{_LEFT + each['minute'] / last * (_WIDTH - _LEFT - 4):.1f},"
            f"{top + _HEIGHT - each[name] / most * _HEIGHT:.1f}"
            for each in samples
        )
        parts += [
            f'<text x="{_LEFT}" y="{top - 6}">{title}</text>',
            f'<text x="{_LEFT - 6}" y="{top + 10}" text-anchor="end">{most:.3g}</text>',
            f'<text x="{_LEFT - 6}" y="{top + _HEIGHT}" text-anchor="end">0</text>',
            f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{top + _HEIGHT}" y2="{top + _HEIGHT}"/>',
            f'<polyline points="{points}"/>',
        ]
    height = len(_PANELS) * (_HEIGHT + _GAP) + 16
    parts.append(
        f'<text x="{_WIDTH - 4}" y="{height - 4}" text-anchor="end">{last:.0f} minutes</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
        f' viewBox="0 0 {_WIDTH} {height}" role="img">\n<title>Twenty minutes of mixed calls: what'
        f" the process held, and how long a view took</title>\n<style>{_STYLE}</style>\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )
