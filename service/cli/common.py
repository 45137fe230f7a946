"""What the commands share: the open database, the values that they take, the tables they print."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import click

from service.config import Config
from service.domain import clock
from service.repositories.base import Repositories
from service.repositories.connect import open_repositories

T = TypeVar("T")


class Uuid(click.ParamType[str]):
    """A user's id."""

    name = "UUID"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The usual spelling of ``value``."""
        try:
            return str(uuid.UUID(value))
        except ValueError:
            self.fail(f"{value!r} is not a UUID.", param, ctx)


class Text(click.ParamType[str]):
    """Any text; what is no UTF-8 is none."""

    name = "TEXT"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """``value`` as it is."""
        try:
            value.encode()
        except UnicodeEncodeError:
            self.fail(f"{value!r} is not UTF-8.", param, ctx)
        return value


def now() -> str:
    """The present moment."""
    return clock.to_text(time.time())


def with_repositories(
    config: Config, work: Callable[[Repositories], Awaitable[T]], *, creates: bool = False
) -> T:
    """Return what ``work`` returns of the open database, which a service may serve meanwhile.

    A missing database is an error unless the command ``creates`` it.
    """

    async def go() -> T:
        async with open_repositories(config, now, serves=False, creates=creates) as repositories:
            return await work(repositories)

    return asyncio.run(go())


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print columns that stand one below the other; a terminal's control characters as ``?``."""
    print_rows(rows, [max(map(len, column)) for column in zip(*rows, strict=True)])


def print_rows(rows: Iterable[Sequence[str]], widths: Sequence[int]) -> None:
    """Print rows of a table whose columns have these widths."""
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        line = "  ".join(cells).rstrip()
        click.echo("".join(each if each.isprintable() else "?" for each in line))
