"""The way to print: every line that a command prints is inert on a terminal."""

import json
import sys
from collections.abc import Iterable, Sequence

import click
import msgspec

from service.telemetry.log_sink import BackgroundLogSink
from service.telemetry.printable import printable


def echo(line: str, *, err: bool = False, newline: bool = True) -> None:
    """Print one line to standard output or standard error; a line break in it is an escape."""
    click.echo(_printed(line, err=err), err=err, nl=newline)


def echo_in_background(lines: Iterable[str]) -> None:
    """Print lines to standard output from a thread, as a pipe may be full; never blocks."""
    sink = BackgroundLogSink(sys.stdout)
    sink.write("".join(f"{_printed(line)}\n" for line in lines))
    sink.close(0)  # the thread goes on, and ends once all is written


def echo_json(value: object) -> None:
    """Print a value as one line of JSON."""
    echo(msgspec.json.encode(value).decode())


def echo_table(rows: Sequence[Sequence[str]]) -> None:
    """Print columns that stand one below the other."""
    echo_rows(rows, column_widths(rows))


def column_widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """Return how wide the columns of these rows are when they are printed."""
    return [max(len(_printed(cell)) for cell in column) for column in zip(*rows, strict=True)]


def echo_rows(rows: Iterable[Sequence[str]], widths: Sequence[int]) -> None:
    """Print rows of a table whose columns have these widths."""
    for row in rows:
        cells = (_printed(cell).ljust(width) for cell, width in zip(row, widths, strict=True))
        echo("  ".join(cells).rstrip())


def _printed(text: str, *, err: bool = False) -> str:
    r"""Return ``text`` as it is printed, with ``\uXXXX`` for what the stream's encoding lacks.

    The escapes are JSON's, so a JSON text stays one with the same values.
    """
    text = printable(text)
    encoding = (sys.stderr if err else sys.stdout).encoding or "utf-8"
    if _has(encoding, text):
        return text
    return "".join(
        character if _has(encoding, character) else json.dumps(character)[1:-1]
        for character in text
    )


def _has(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
