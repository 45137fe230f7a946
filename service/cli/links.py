"""The command ``links``: links of one user."""

import math
import sys
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import click
import msgspec
from msgspec import Raw

from service.cli.common import Text, Uuid, now, with_repositories
from service.cli.output import column_widths, echo, echo_json, echo_rows, echo_table
from service.config import Config
from service.domain.decoding import decode_body
from service.domain.links import (
    BARE_DATE,
    LABEL_MAX,
    MODULES_MAX,
    NOTE_MAX,
    PASSWORD_MAX,
    SENDER_MAX,
    NewSharedReport,
    SharedReport,
)
from service.domain.paging import LIMIT_MAX, FetchPage, Page
from service.domain.types import Done
from service.domain.validation import read_filter, validate_settings
from service.repositories.base import Repositories
from service.repositories.link_mapping import read_reports
from service.security.credentials import ShareHashGenerator
from service.security.passwords import Passwords
from service.sharing.links import LinkService
from service.sharing.views import ViewCounter

user_option = click.option(
    "--user", type=Uuid(), required=True, help="The user the links belong to."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print what the API answers.")
report_id_argument = click.argument("report_id", metavar="ID")


@click.group()
def links() -> None:
    """Manage a user's links."""


@links.command("list")
@user_option
@click.option(
    "--status",
    type=Text(),
    help="Only links in this status: active, scheduled, expired, exhausted or inactive. "
    "Default: all.",
)
@click.option(
    "--video", type=Text(), help="Only links to this video: its job id, or its id. Default: all."
)
@click.option(
    "--label", type=Text(), help="Only links whose label begins with this text. Default: all."
)
@click.option(
    "--expires-before",
    type=Text(),
    help=f"Only links that expire before this time (ISO 8601). {BARE_DATE} Default: all.",
)
@click.option(
    "--limit", type=click.IntRange(1, 10**9), help="How many links at most. Default: all."
)
@json_option
@click.pass_obj
def list_links(
    config: Config,
    /,
    *,
    user: str,
    video: str | None,
    limit: int | None,
    as_json: bool,
    **filters: str | None,
) -> None:
    """List a user's links, newest first, inactive ones included."""
    wanted = read_filter({name: text for name, text in filters.items() if text is not None})

    async def print_links(repositories: Repositories) -> None:
        fetch = partial(repositories.link_lists.list_all, user, wanted=wanted, video=video)
        if as_json:
            await _print_json_array(_limited(fetch, limit))
        else:
            await _print_links_table(fetch, limit)

    with_repositories(config, print_links)


async def _limited(fetch: FetchPage[Raw], limit: int | None) -> AsyncIterator[list[Raw]]:
    """Yield the first ``limit`` links in pages; all without a limit."""
    page: Page | None = Page(LIMIT_MAX)
    left = math.inf if limit is None else limit
    while page is not None and left > 0:
        reports, page = await fetch(msgspec.structs.replace(page, limit=int(min(left, LIMIT_MAX))))
        left -= LIMIT_MAX  # only the last page has fewer
        yield reports


async def _print_json_array(pages: AsyncIterator[list[Raw]]) -> None:
    separator = "["
    async for reports in pages:
        if reports:
            echo(separator + msgspec.json.encode(reports).decode()[1:-1], newline=False)
            separator = ","
    echo("]" if separator == "," else "[]")


async def _print_links_table(fetch: FetchPage[Raw], limit: int | None) -> None:
    """Print a table, read page by page: once for the widths of its columns, once for its rows."""
    head = ("ID", "VIDEO", "STATUS", "EXPIRES", "VIEWS", "BOT VIEWS", "SHARE HASH", "LABEL")
    widths = column_widths([head])
    async for reports in _limited(fetch, limit):
        if reports:
            widths = list(map(max, widths, column_widths(list(map(_cells, read_reports(reports))))))
    echo_rows([head], widths)
    async for reports in _limited(fetch, limit):
        echo_rows(map(_cells, read_reports(reports)), widths)


def _cells(report: SharedReport) -> tuple[str, ...]:
    views = str(report.view_count)
    return (
        report.id,
        report.video_id,
        report.status,
        report.expires_at or "never",
        views if report.max_views is None else f"{views} of {report.max_views}",
        str(report.bot_view_count),
        report.share_hash,
        report.label or "",
    )


@links.command("show")
@report_id_argument
@user_option
@json_option
@click.pass_obj
def show_link(config: Config, *, report_id: str, user: str, as_json: bool) -> None:
    """Show a link, by its id."""

    async def get(repositories: Repositories) -> SharedReport:
        return await repositories.link_lists.get(user, report_id)

    _print(with_repositories(config, get), as_json=as_json)


@links.command("create")
@click.argument("video", type=Text())
@user_option
@click.option(
    "--expires-at",
    type=Text(),
    help=f"When the link expires (ISO 8601). {BARE_DATE} Default: never, or after the days of "
    "SHARED_REPORTS_DEFAULT_LIFETIME_DAYS.",
)
@click.option(
    "--not-before",
    type=Text(),
    help=f"When the link starts to work (ISO 8601). {BARE_DATE} Default: at once.",
)
@click.option("--max-views", type=int, help="How many views the link allows. Default: no limit.")
@click.option(
    "--password",
    "has_password",
    is_flag=True,
    help=f"Ask for a password of 1 to {PASSWORD_MAX} characters, or read it from stdin.",
)
@click.option(
    "--label",
    type=Text(),
    help=f"A label for its owner, at most {LABEL_MAX} characters. Default: none.",
)
@click.option(
    "--note",
    type=Text(),
    help=f"A note for its owner, at most {NOTE_MAX} characters. Default: none.",
)
@click.option(
    "--sender",
    type=Text(),
    help=f"Who shares it; viewers see this on the page. At most {SENDER_MAX} characters. "
    "Default: none.",
)
@click.option(
    "--module",
    "modules",
    type=Text(),
    multiple=True,
    help=f"A module to show; may be repeated, {MODULES_MAX} times at most. Default: all.",
)
@json_option
@click.pass_obj
def create_link(
    config: Config,
    /,
    *,
    video: str,
    user: str,
    has_password: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Create a link to VIDEO, a job id or an id."""
    given = {name: value for name, value in options.items() if value not in {None, ()}}
    if has_password:
        given["password"] = _ask_password()
    new = decode_body(msgspec.json.encode({"video_id": video, **given}), NewSharedReport)

    async def create(repositories: Repositories) -> SharedReport:
        passwords = Passwords()
        settings = validate_settings(await passwords.hash_password(new), now())
        passwords.close()
        return await _service(config, repositories).create(user, video, settings)

    _print(with_repositories(config, create), as_json=as_json)


def _ask_password() -> str:
    """Read a password: arguments of a command are visible to every user of the machine."""
    if sys.stdin.isatty():
        typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    return Text().convert(sys.stdin.readline().rstrip("\r\n"), None, None)


@links.command("rotate")
@report_id_argument
@user_option
@json_option
@click.pass_obj
def rotate_link(config: Config, *, report_id: str, user: str, as_json: bool) -> None:
    """Give a link a new share hash; the old one stops working at once."""
    report = with_repositories(
        config, lambda repositories: _service(config, repositories).rotate(user, report_id)
    )
    _print(report, as_json=as_json)


@links.command("revoke")
@report_id_argument
@user_option
@json_option
@click.pass_obj
def revoke_link(config: Config, *, report_id: str, user: str, as_json: bool) -> None:
    """Delete a link; it stops working at once."""
    with_repositories(
        config, lambda repositories: _service(config, repositories).revoke(user, report_id)
    )
    if as_json:
        echo_json(Done())
    else:
        echo(f"Link {report_id} is revoked.")


def _service(config: Config, repositories: Repositories) -> LinkService:
    views = ViewCounter(repositories.links, now)
    make_hash = ShareHashGenerator(config.share_hash_length)
    return LinkService(repositories, views, now, make_hash, config.link_rules)


def _print(report: SharedReport, *, as_json: bool) -> None:
    if as_json:
        echo_json(report)
        return
    fields = msgspec.to_builtins(report)
    echo_table([(name, _text(value)) for name, value in fields.items()])


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return "-" if value is None else str(value)
