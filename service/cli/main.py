"""The command line, and the only reader of the environment.

Commands other than ``serve`` work on the database file itself, with or without a service
running on it.
"""

import asyncio
import faulthandler
import os
import sys
from functools import partial
from http import HTTPStatus
from pathlib import Path

import aiohttp
import click
import structlog

from service import __version__
from service.cli.common import Uuid, now, print_table, with_repositories
from service.cli.demo import demonstrate
from service.cli.links import links
from service.config import Config, deprecation_warning
from service.domain.api_keys import KEY_NAME_MAX
from service.domain.errors import BackupError, ConfigError, DatabaseRefusedError, ServiceError
from service.domain.platform_export import read_export
from service.repositories.base import Repositories
from service.repositories.connect import SCHEMA_VERSION, check_database, copy_database
from service.server.run import run
from service.server.systemd import Supervisor
from service.tasks.sweeper import run_adaptive_batches, sweep_all
from service.telemetry import logs

_HEALTH_TIMEOUT = 5.0

log = structlog.get_logger()


class _KeyName(click.ParamType[str]):
    name = "NAME"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not 0 < len(value) <= KEY_NAME_MAX or not value.isprintable():
            self.fail(f"A name is 1 to {KEY_NAME_MAX} printable characters.", param, ctx)
        return value


def main() -> None:
    """Run the command line; what an operator can mend is told in one line, with exit code 1."""
    try:
        cli(prog_name="shared-reports")
    except (BackupError, ConfigError, DatabaseRefusedError, ServiceError, OSError) as error:
        sys.exit(f"shared-reports: {error}")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="shared-reports")
@click.pass_context
def cli(context: click.Context) -> None:
    """Public links to video analysis results.

    Environment variables that begin with SHARED_REPORTS_ configure it; docs/configuration.md lists
    them.
    """
    config = Config.from_env(os.environ)
    logs.configure(config.log_format, config.log_level)
    if warning := deprecation_warning(os.environ):
        log.warning("renamed settings", detail=warning)
    context.obj = config


@cli.command()
@click.option("--demo", is_flag=True, help="On an empty database, make something to click on.")
@click.pass_obj
def serve(config: Config, *, demo: bool) -> None:
    """Serve until SIGTERM or SIGINT."""
    faulthandler.enable()  # a crash below Python says where, in functions' names only
    supervisor = Supervisor.from_env(os.environ, os.getpid())
    run(config, supervisor, demonstrate if demo else None)


cli.add_command(links)


@cli.group()
def keys() -> None:
    """Manage anyone's API keys."""


@keys.command("create")
@click.option("--user", type=Uuid(), required=True, help="The user the key is for.")
@click.option("--name", type=_KeyName(), required=True, help="What to call the key.")
@click.pass_obj
def create_key(config: Config, user: str, name: str) -> None:
    """Create an API key; it alone is printed, and never again."""
    created = with_repositories(
        config, lambda repositories: repositories.api_keys.create(user, name), creates=True
    )
    click.echo(created.raw_key)


@keys.command("list")
@click.pass_obj
def list_keys(config: Config) -> None:
    """List all API keys."""
    rows = [("ID", "USER", "KEY", "STATE", "LAST USED", "NAME")]
    for user_id, key in with_repositories(
        config, lambda repositories: repositories.api_keys.list_of_everyone()
    ):
        state = "active" if key.is_active else "inactive"
        rows.append((key.id, user_id, key.key_prefix, state, key.last_used_at or "never", key.name))
    print_table(rows)


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@click.pass_obj
def revoke_key(config: Config, key_id: str) -> None:
    """Deactivate an API key, from the next request on."""
    key = with_repositories(config, lambda repositories: repositories.api_keys.revoke(key_id))
    click.echo(f"{key.key_prefix} ({key.name}) is inactive.")


@cli.command("import")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--user", type=Uuid(), required=True, help="The user the videos belong to.")
@click.pass_obj
def import_files(config: Config, files: tuple[Path, ...], user: str) -> None:
    """Import exports of jobs as videos, each file whole or not at all."""
    failures = with_repositories(config, partial(_import, files=files, user=user), creates=True)
    for failure in failures:
        click.echo(failure, err=True)
    click.echo(f"{len(files) - len(failures)} imported, {len(failures)} failed")
    if failures:
        sys.exit(1)


async def _import(repositories: Repositories, files: tuple[Path, ...], user: str) -> list[str]:
    failures = []
    with click.progressbar(
        files, label="Importing", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as progress:
        for file in progress:
            try:
                await repositories.videos.put(user, read_export(file.read_bytes(), now()))
            except OSError as error:
                failures.append(f"{file}: {error.strerror}")
            except ServiceError as error:
                failures.append(f"{file}: {error.detail}")
    return failures


@cli.command()
@click.option("--dry-run", is_flag=True, help="Count what would be deactivated; change nothing.")
@click.pass_obj
def sweep(config: Config, *, dry_run: bool) -> None:
    """Deactivate the links that have expired. They are dead without it, too."""
    count = with_repositories(config, partial(_sweep, dry_run=dry_run))
    click.echo(f"{count} {'to deactivate' if dry_run else 'deactivated'}")


async def _sweep(repositories: Repositories, *, dry_run: bool) -> int:
    if dry_run:
        return await repositories.links.count_expired()
    return await sweep_all(repositories.links)


@cli.command()
@click.option("--dry-run", is_flag=True, help="Count what would be purged; change nothing.")
@click.pass_obj
def purge(config: Config, *, dry_run: bool) -> None:
    """Delete the links that have been dead for longer than SHARED_REPORTS_RETENTION_DAYS."""
    if config.retention_days is None:
        raise ConfigError("SHARED_REPORTS_RETENTION_DAYS is not set: no link is to be purged")
    count = with_repositories(config, partial(_purge, days=config.retention_days, dry_run=dry_run))
    click.echo(f"{count} {'to purge' if dry_run else 'purged'}")


async def _purge(repositories: Repositories, *, days: int, dry_run: bool) -> int:
    retention = repositories.retention
    if dry_run:
        return await retention.count(days)
    return await run_adaptive_batches(partial(retention.purge, days))


@cli.command("backup")
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
    click.echo(f"{dest} is a sound copy of {config.database}: {_words(copied.rows)}.")


@cli.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.pass_obj
def check(config: Config, file: Path | None) -> None:
    """Look for damage in FILE or, without it, in the database; exit code 1 where there is any."""
    path = file or config.database
    checked = check_database(path)
    if checked.faults:
        click.echo("\n  ".join([f"{path} is damaged:", *checked.faults]))
        sys.exit(1)
    click.echo(f"{path} is sound: its pages, its indexes and its references hold.")
    click.echo(f"It holds {_words(checked.rows)}.")
    click.echo(f"Its schema version is {checked.version}, {_to_us(checked.version)}.")
    sys.exit(1 if checked.version > SCHEMA_VERSION else 0)


def _to_us(version: int) -> str:
    """What a schema version is to this program, in words."""
    if version == SCHEMA_VERSION:
        return "this program's"
    if version < SCHEMA_VERSION:
        return f"and the next command or service keeps a copy and brings it to {SCHEMA_VERSION}"
    return f"of a newer release: this program knows none after {SCHEMA_VERSION}"


def _words(rows: dict[str, int]) -> str:
    return ", ".join(f"{count} {table}" for table, count in rows.items())


@cli.command()
@click.pass_obj
def healthcheck(config: Config) -> None:
    """Ask the running service whether it is ready; exit code 0 when it is, 1 when not."""
    status, body = asyncio.run(_health(config))
    click.echo(body)
    sys.exit(0 if status == HTTPStatus.OK else 1)


async def _health(config: Config) -> tuple[int, str]:
    connector = aiohttp.UnixConnector(str(config.unix_socket)) if config.unix_socket else None
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host, config.host)  # noqa: S104 - asked for, not bound
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
