"""What the commands share: types of values, errors, the open database."""

import asyncio
import io
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import click

from service.cli.output import echo
from service.config import Config
from service.domain import clock
from service.domain.errors import BackupError, ConfigError, DatabaseRefusedError, ServiceError
from service.repositories.base import Repositories
from service.repositories.connect import open_repositories

T = TypeVar("T")


class Uuid(click.ParamType[str]):
    """A user's id."""

    name = "UUID"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The canonical spelling of ``value``."""
        try:
            return str(uuid.UUID(value))
        except ValueError:
            self.fail(f"{value!r} is not a UUID.", param, ctx)


class Text(click.ParamType[str]):
    """Any text that is valid UTF-8."""

    name = "TEXT"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """``value`` unchanged."""
        try:
            value.encode()
        except UnicodeEncodeError:
            self.fail(f"{value!r} is not UTF-8.", param, ctx)
        return value


def now() -> str:
    """The current time, as the API writes it."""
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


@contextmanager
def errors_printed() -> Iterator[None]:
    """Print an error of the command line, of the domain or of the system, and exit.

    The exit code is 2 for a wrong command line and 1 for any other error. An error that an
    operator can mend is one line.
    """
    try:
        yield
    except click.ClickException as error:
        text = io.StringIO()
        error.show(text)
        for line in text.getvalue().rstrip("\n").split("\n"):
            echo(line, err=True)
        raise click.exceptions.Exit(error.exit_code) from error
    except BrokenPipeError:
        raise  # click exits without a word
    except (BackupError, ConfigError, DatabaseRefusedError, ServiceError, OSError) as error:
        echo(f"shared-reports: {error}", err=True)
        raise click.exceptions.Exit(1) from error
