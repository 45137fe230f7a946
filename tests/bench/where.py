"""Where a request's microseconds go: by thread and by whose code, in numbers and in a picture.

Perf looks at the server some thousand times a second, on its core, while it is under load; what it
sees is spread over what the processor has taken for a request. perf has to be installed.
"""

import shutil
import subprocess
from collections import Counter
from contextlib import ExitStack
from html import escape
from pathlib import Path

import parties
from line_ups import CONNECTIONS, SIZES
from load import Job, Stream
from parties import Party
from rounds import Bench
from scenarios import MANY, VIEWED, check
from tables import Size, make_table

WHERE = "where"
_LOOKS = 1999  # a second
_WARM_UP = 0.7  # seconds
_OWNERS = {
    "kernel": ("[kernel", "[guest"),
    "SQLite": ("sqlite",),
    "HTTP in C": ("http_parser", "http_writer", "multidict", "loop.", "helpers_c", "quoting_c"),
}
"""Whose code a library's is, by what its name holds; all other code is Python's."""

Parts = dict[str, float]
"""Microseconds of a request, by part."""


def where(bench: Bench) -> dict[str, Parts]:
    """The parts of views and creates, ours and bare aiohttp's; nothing where there is no perf."""
    if shutil.which("perf") is None:
        print("  perf is not installed")
        return {}
    found = {}
    folder = bench.folder / WHERE
    folder.mkdir()
    with ExitStack() as stack:
        few, many = (
            stack.enter_context(parties.serve("ours", size, folder, writes=size is MANY))
            for size in (MANY, SIZES["1 M"])
        )
        views, creates = _views(few, MANY, 8_000), few.api.creates()
        sizes = check([views, creates], few)
        limit = stack.enter_context(parties.serve_limit(sizes, make_table(MANY).key, folder))
        found["bare aiohttp, view"] = _parts(bench, limit, _views(limit, MANY))
        found["view, kept"] = _parts(bench, few, views)
        found["view, not kept"] = _parts(bench, many, _views(many, SIZES["1 M"]))
        found["bare aiohttp, POST"] = _parts(bench, limit, limit.api.creates())
        found["create"] = _parts(bench, few, creates)
    return found


def _views(party: Party, size: Size, count: int = VIEWED) -> Stream:
    return party.api.views(make_table(size).hashes(count))


def _parts(bench: Bench, party: Party, stream: Stream) -> Parts:
    server, seconds = party.server, max(bench.seconds * bench.rounds, 1.0)
    bench.load.run(Job(server.port, CONNECTIONS, _WARM_UP, [stream]))
    record = bench.folder / "perf.data"
    before = server.cpu()
    bench.load.start(Job(server.port, CONNECTIONS, seconds + 1, [stream]))
    subprocess.run(
        [
            *("perf", "record", "-q", "-F", str(_LOOKS), "-p", str(server.pid)),
            *("-o", str(record), "--", "sleep", str(seconds)),
        ],
        check=True,
        capture_output=True,
    )
    done = bench.load.result()
    each = (server.cpu() - before) / done.all.count * 1e6
    seen = _seen(record, server.pid)
    return {part: count / seen.total() * each for part, count in sorted(seen.items())}


def _seen(record: Path, pid: int) -> Counter[str]:
    """How often the server was seen in each part."""
    lines = subprocess.run(
        ["perf", "script", "-i", record, "-F", "tid,ip,dso"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    seen: Counter[str] = Counter()
    for line in lines:
        thread, _, library = line.strip().partition(" ")
        if library:
            seen[f"{'loop' if thread == str(pid) else 'database'}: {_owner(library)}"] += 1
    return seen


def _owner(library: str) -> str:
    return next(
        (name for name, parts in _OWNERS.items() if any(part in library for part in parts)),
        "Python",
    )


_LEFT, _WIDTH, _SCALE, _ROW = 150, 700, 4.2, 34
_COLOURS = {
    "loop: kernel": "#8c959f",
    "loop: HTTP in C": "#57606a",
    "loop: Python": "#0969da",
    "loop: SQLite": "#1a7f37",
    "database: kernel": "#d4a72c",
    "database: SQLite": "#7fb38a",
    "database: Python": "#a371f7",
}
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.in { fill: #fff; font-weight: 600 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .in { fill: #fff } }
"""


def draw(found: dict[str, Parts]) -> str:
    """A bar for each kind of request, a stretch of it for each part."""
    lines = [_legend()]
    y = 64
    for name, parts in found.items():
        lines.append(f'<text x="0" y="{y + 16}">{escape(name)}</text>')
        x = float(_LEFT)
        for part, colour in _COLOURS.items():
            width = parts.get(part, 0.0) * _SCALE
            lines.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="22" fill="{colour}">'
                f"<title>{part}: {parts.get(part, 0.0):.1f} µs</title></rect>"
            )
            if width > 24:  # room for a number
                lines.append(
                    f'<text class="in" x="{x + 4:.1f}" y="{y + 16}">{width / _SCALE:.0f}</text>'
                )
            x += width
        lines.append(f'<text x="{x + 6:.1f}" y="{y + 16}">{sum(parts.values()):.0f} µs</text>')
        y += _ROW
    words = "; ".join(f"{name} {sum(parts.values()):.0f} µs" for name, parts in found.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}"'
        f' viewBox="0 0 {_WIDTH} {y}" role="img">\n<title>{escape(words)}</title>\n'
        f"<style>{_STYLE}</style>\n" + "\n".join(lines) + "\n</svg>\n"
    )


def _legend() -> str:
    lines = []
    for place, (part, colour) in enumerate(_COLOURS.items()):
        x, y = (place % 4) * 170, (place // 4) * 22
        lines.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colour}"/>')
        lines.append(f'<text x="{x + 18}" y="{y + 11}">{part}</text>')
    return "\n".join(lines)
