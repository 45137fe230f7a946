"""The commands for upkeep: import, sweep, purge, backup, copy, check, migrate, healthcheck."""

import asyncio
import sys
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

import click

from service.cli.common import Uuid, now, with_repositories
from service.cli.output import echo
from service.config import Config
from service.domain.errors import ConfigError, ServiceError
from service.domain.platform_export import read_export
from service.repositories.base import Repositories
from service.repositories.connect import (
    SCHEMA_VERSION,
    check_database,
    copy_database,
    copy_from,
    schema_versions,
)
from service.tasks.sweeper import run_adaptive_batches, sweep_all

_HEALTH_TIMEOUT = 5.0  # seconds
_NAMES_SHOWN = 20  # of a file's ignored fields


@click.command("import")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--user", type=Uuid(), required=True, help="The user the videos belong to.")
@click.option("--dry-run", is_flag=True, help="Read and check the files; change nothing.")
@click.pass_obj
def import_files(config: Config, files: tuple[Path, ...], user: str, *, dry_run: bool) -> None:
    """Import exports of jobs as videos, each file completely or not at all.

    The fields of a file that are not imported, such as misspelt ones, are printed.
    """
    work = partial(_import, files=files, user=user)
    outcome = asyncio.run(work(None)) if dry_run else with_repositories(config, work, creates=True)
    for line in (*outcome.notes, *outcome.failures):
        echo(line, err=True)
    count = len(files) - len(outcome.failures)
    echo(f"{count} {'to import' if dry_run else 'imported'}, {len(outcome.failures)} failed")
    if outcome.failures:
        sys.exit(1)


class _Outcome(NamedTuple):
    """The lines to print of the files that have ignored fields, and of those that failed."""

    notes: list[str]
    failures: list[str]


async def _import(
    repositories: Repositories | None, files: tuple[Path, ...], user: str
) -> _Outcome:
    """Import the files, or only check them if there are no ``repositories``."""
    outcome = _Outcome([], [])
    with click.progressbar(
        files, label="Importing", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as progress:
        for file in progress:
            try:
                analysis = read_export(file.read_bytes(), now())
                if repositories is not None:
                    await repositories.videos.put(user, analysis)
            except OSError as error:
                outcome.failures.append(f"{file}: {error.strerror}")
            except ServiceError as error:
                outcome.failures.append(f"{file}: {error.detail}")
            else:
                if names := analysis.ignored_fields:
                    rest = len(names) - _NAMES_SHOWN
                    more = f" and {rest} more" if rest > 0 else ""
                    shown = ", ".join(names[:_NAMES_SHOWN])
                    outcome.notes.append(f"{file}: ignored fields: {shown}{more}")
    return outcome


@click.command()
@click.option("--dry-run", is_flag=True, help="Count what would be deactivated; change nothing.")
@click.pass_obj
def sweep(config: Config, *, dry_run: bool) -> None:
    """Deactivate the links that have expired. They do not work in any case."""
    count = with_repositories(config, partial(_sweep, dry_run=dry_run))
    echo(f"{count} {'to deactivate' if dry_run else 'deactivated'}")


async def _sweep(repositories: Repositories, *, dry_run: bool) -> int:
    if dry_run:
        return await repositories.links.count_expired()
    return await sweep_all(repositories.links)


@click.command()
@click.option("--dry-run", is_flag=True, help="Count what would be purged; change nothing.")
@click.pass_obj
def purge(config: Config, *, dry_run: bool) -> None:
    """Delete the links that have been inactive for longer than SHARED_REPORTS_RETENTION_DAYS."""
    if config.retention_days is None:
        raise ConfigError("SHARED_REPORTS_RETENTION_DAYS is not set: no link is to be purged")
    count = with_repositories(config, partial(_purge, days=config.retention_days, dry_run=dry_run))
    echo(f"{count} {'to purge' if dry_run else 'purged'}")


async def _purge(repositories: Repositories, *, days: int, dry_run: bool) -> int:
    retention = repositories.retention
    if dry_run:
        return await retention.count(days)
    return await run_adaptive_batches(partial(retention.purge, days))


@click.command("backup")
@click.argument("dest", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace DEST if it exists.")
@click.pass_obj
def back_up(config: Config, dest: Path, *, force: bool) -> None:
    """Copy the database, as it is at one moment, to the file DEST, and check the copy."""
    with click.progressbar(
        length=1, label="Copying", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:

        def show(done: int, of: int) -> None:
            bar.length = of
            bar.label = "Copying" if done < of else "Checking"
            bar.update(done - bar.pos)

        copied = copy_database(config, dest, replace=force, progress=show)
    echo(f"{dest} is a sound copy of {config.database}: {_words(copied.rows)}.")


@click.command()
@click.argument("source", metavar="FROM")
@click.pass_obj
def copy(config: Config, source: str) -> None:
    """Copy everything from FROM into the configured PostgreSQL database, which must be empty.

    FROM is an SQLite file, or the address of another PostgreSQL database. Stop its service first.
    Ids, share hashes, keys, counts and the signing key are kept, so links go on working. All is
    copied and compared, or nothing.
    """
    with click.progressbar(
        length=1, label="Copying", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:

        def show(what: str, done: int, of: int) -> None:
            bar.length = of
            bar.label = what
            bar.update(done - bar.pos)

        rows = asyncio.run(copy_from(config, source, show))
    echo(f"{config.database} is a complete copy: {_words(rows)}.")


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.pass_obj
def check(config: Config, file: Path | None) -> None:
    """Check FILE, by default the database, for damage; exit code 1 if there is any."""
    path, checked = check_database(config, file)
    if checked.faults:
        echo(f"{path} is damaged:")
        for fault in checked.faults:
            echo(f"  {fault}")
        sys.exit(1)
    echo(f"{path} is sound: its pages, its indexes and its references hold.")
    echo(f"It holds {_words(checked.rows)}.")
    echo(f"Its schema version is {checked.version}, {_to_us(checked.version)}.")
    sys.exit(1 if checked.version > SCHEMA_VERSION else 0)


def _to_us(version: int) -> str:
    """How a schema version compares with the one of this release."""
    if version == SCHEMA_VERSION:
        return "this program's"
    if version < SCHEMA_VERSION:
        return f"and the next command or service keeps a copy and brings it to {SCHEMA_VERSION}"
    return f"of a newer release: this program knows none after {SCHEMA_VERSION}"


def _words(rows: dict[str, int]) -> str:
    return ", ".join(f"{count} {table}" for table, count in rows.items())


@click.command()
@click.option("--dry-run", is_flag=True, help="Say which migrations would run; change nothing.")
@click.pass_obj
def migrate(config: Config, *, dry_run: bool) -> None:
    """Bring the database to this release's schema, as every start does; create a missing one."""
    current, target = asyncio.run(schema_versions(config))
    if current == target:
        echo(f"The schema version is {target}, this program's: there is nothing to do.")
        return
    steps = (
        "create it"
        if current == 0
        else f"run {', '.join(map(str, range(current + 1, target + 1)))}"
    )
    if dry_run:
        echo(f"The schema version is {current}, this program's is {target}: it would {steps}.")
        return
    with_repositories(config, _nothing, creates=True)
    echo(f"The schema version was {current} and is {target}.")


async def _nothing(_repositories: Repositories) -> None:
    """Opening the database is all that is to be done."""


@click.command()
@click.pass_obj
def healthcheck(config: Config) -> None:
    """Ask the running service whether it is ready; exit code 0 if it is, 1 if not."""
    status, body = asyncio.run(_health(config))
    echo(body)
    sys.exit(0 if status == HTTPStatus.OK else 1)


async def _health(config: Config) -> tuple[int, str]:
    import aiohttp  # noqa: PLC0415 - takes 0.1 s, and the other commands send no request

    connector = aiohttp.UnixConnector(str(config.unix_socket)) if config.unix_socket else None
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host, config.host)  # noqa: S104 - an address to connect to, not to bind
    host = f"[{host}]" if ":" in host else host
    url = "http://localhost" if config.unix_socket else f"http://{host}:{config.port}"
    timeout = aiohttp.ClientTimeout(total=_HEALTH_TIMEOUT)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(f"{url}/readyz") as response,
        ):
            return response.status, await response.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        return 0, f"no answer: {error!r}"
