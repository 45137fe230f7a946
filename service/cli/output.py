"""The way to print: every line that a command prints is inert on a terminal."""

from collections.abc import Sequence

import click
import msgspec

from service.telemetry.printable import printable


def echo(line: str, *, err: bool = False) -> None:
    """Print one line to standard output or standard error; a line break in it is an escape."""
    click.echo(printable(line), err=err)


def echo_json(value: object) -> None:
    """Print a value as one line of JSON."""
    echo(msgspec.json.encode(value).decode())


def echo_table(rows: Sequence[Sequence[str]]) -> None:
    """Print columns that stand one below the other."""
    cells = [list(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        echo("  ".join(padded).rstrip())
