"""The way to print: every line that a command prints is inert on a terminal."""

from collections.abc import Iterable, Sequence

import click
import msgspec

from service.telemetry.printable import printable


def echo(line: str, *, err: bool = False, newline: bool = True) -> None:
    """Print one line to standard output or standard error; a line break in it is an escape."""
    click.echo(printable(line), err=err, nl=newline)


def echo_json(value: object) -> None:
    """Print a value as one line of JSON."""
    echo(msgspec.json.encode(value).decode())


def echo_table(rows: Sequence[Sequence[str]]) -> None:
    """Print columns that stand one below the other."""
    echo_rows(rows, column_widths(rows))


def column_widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """Return how wide the columns of these rows are when they are printed."""
    return [max(len(printable(cell)) for cell in column) for column in zip(*rows, strict=True)]


def echo_rows(rows: Iterable[Sequence[str]], widths: Sequence[int]) -> None:
    """Print rows of a table whose columns have these widths."""
    for row in rows:
        cells = (printable(cell).ljust(width) for cell, width in zip(row, widths, strict=True))
        echo("  ".join(cells).rstrip())
