"""The command ``keys``: API keys of any user."""

import click

from service.cli.common import Uuid, with_repositories
from service.cli.output import echo, echo_table
from service.config import Config
from service.domain.api_keys import KEY_NAME_MAX
from service.domain.normal_form import nfc


class _KeyName(click.ParamType[str]):
    name = "NAME"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        value = nfc(value)
        if not 0 < len(value) <= KEY_NAME_MAX or not value.isprintable():
            self.fail(f"A name is 1 to {KEY_NAME_MAX} printable characters.", param, ctx)
        return value


@click.group()
def keys() -> None:
    """Manage anyone's API keys."""


@keys.command("create")
@click.option("--user", type=Uuid(), required=True, help="The user the key is for.")
@click.option(
    "--name",
    type=_KeyName(),
    required=True,
    help=f"What to call the key, 1 to {KEY_NAME_MAX} printable characters.",
)
@click.pass_obj
def create_key(config: Config, user: str, name: str) -> None:
    """Create an API key; only the key is printed, and it is never shown again."""
    created = with_repositories(
        config, lambda repositories: repositories.api_keys.create(user, name), creates=True
    )
    echo(created.raw_key)


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
    echo_table(rows)


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@click.pass_obj
def revoke_key(config: Config, key_id: str) -> None:
    """Deactivate an API key, from the next request on."""
    key = with_repositories(config, lambda repositories: repositories.api_keys.revoke(key_id))
    echo(f"{key.key_prefix} ({key.name}) is inactive.")
