"""The command ``events``: events of one user."""

from functools import partial
from typing import Any, get_args

import click
import msgspec

from service.cli.common import Uuid, with_repositories
from service.cli.output import echo, echo_json, echo_table
from service.config import Config
from service.domain.events import Event, EventRange, EventType
from service.domain.paging import LIMIT, LIMIT_MAX
from service.repositories.base import Repositories

_user = click.option("--user", type=Uuid(), required=True, help="The user the events are of.")


@click.group()
def events() -> None:
    """Read a user's events, and switch them on or off."""


@events.command("list")
@_user
@click.option(
    "--after",
    type=click.IntRange(0, 10**18 - 1),
    default=0,
    help="Only events behind this position. Default: 0, from the first one on.",
)
@click.option(
    "--type",
    type=click.Choice(get_args(EventType)),
    help="Only events of this type. Default: all.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=LIMIT,
    help=f"How many events at most, up to {LIMIT_MAX}. Default: {LIMIT}.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one event as JSON in each line.")
@click.pass_obj
def list_events(config: Config, /, *, user: str, as_json: bool, **wanted: Any) -> None:
    """List a user's events, oldest first."""
    fetch = partial(_fetch, user=user, wanted=EventRange(**wanted))
    events = with_repositories(config, fetch)
    if as_json:
        for event in events:
            echo_json(event)
        return
    rows = [("ID", "TIME", "TYPE", "OF", "NAME")]
    for event in events:
        data = msgspec.to_builtins(event.data)
        name = data.get("label") or data.get("name") or ""
        rows.append((event.id, event.created_at, event.type, data["id"], name))
    echo_table(rows)


async def _fetch(repositories: Repositories, user: str, wanted: EventRange) -> list[Event]:
    """Return a page of events, however many events of other types are before them."""
    while True:
        page = await repositories.events.list_after(user, wanted)
        if page.events or not page.has_more:
            return list(page.events)
        wanted = msgspec.structs.replace(wanted, after=page.next)


@events.command("enable")
@_user
@click.pass_obj
def enable_events(config: Config, user: str) -> None:
    """Write events of what happens from now on."""
    _set_enabled(config, user, is_enabled=True)
    echo("Events are on.")


@events.command("disable")
@_user
@click.pass_obj
def disable_events(config: Config, user: str) -> None:
    """Write no more events; stored ones stay until they are old."""
    _set_enabled(config, user, is_enabled=False)
    echo("Events are off.")


def _set_enabled(config: Config, user: str, *, is_enabled: bool) -> None:
    with_repositories(
        config,
        lambda repositories: repositories.events.set_enabled(user, is_enabled=is_enabled),
    )
