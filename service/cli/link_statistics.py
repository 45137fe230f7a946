"""The command ``links stats``: the views of a link, as a bar chart."""

import shutil
import sys
from collections.abc import Mapping
from itertools import dropwhile
from typing import get_args

import click

from service.cli.common import Text, now, with_repositories
from service.cli.links import json_option, report_id_argument, user_option
from service.cli.output import column_widths, echo, echo_json, echo_rows
from service.config import Config
from service.domain.links import BARE_DATE
from service.domain.statistics import Interval, ViewBucket, ViewStatistics, read_period
from service.repositories.base import Repositories

_EIGHTHS = "▏▎▍▌▋▊▉█"
_NARROWEST = 10  # characters of the longest bar, however narrow the terminal is
_GAP = 2  # spaces between two columns


@click.command("stats")
@report_id_argument
@user_option
@click.option(
    "--interval", type=click.Choice(get_args(Interval)), help="What a line is. Default: day."
)
@click.option(
    "--from",
    "from_",
    type=Text(),
    help=f"When the period begins (ISO 8601). {BARE_DATE} Default: 30 days before its end.",
)
@click.option(
    "--to", type=Text(), help=f"When the period ends (ISO 8601). {BARE_DATE} Default: now."
)
@json_option
@click.pass_obj
def link_statistics(
    config: Config, /, *, report_id: str, user: str, as_json: bool, **options: str | None
) -> None:
    """Show the views of a link by the day or the hour (UTC), as a bar chart."""
    query = {name.rstrip("_"): text for name, text in options.items() if text is not None}
    period = read_period(query, now(), config.statistics_days)

    async def get(repositories: Repositories) -> ViewStatistics:
        return await repositories.statistics.of_link(user, report_id, period)

    statistics = with_repositories(config, get)
    if as_json:
        echo_json(statistics)
    else:
        _print(statistics, query)


def _print(statistics: ViewStatistics, query: Mapping[str, str]) -> None:
    echo(
        f"Views: {statistics.total}. Bot views: {statistics.bots}. "
        f"Wrong passwords: {statistics.failed_passwords}."
    )
    echo(
        f"First view: {statistics.first_viewed_at or '-'}. "
        f"Last view: {statistics.last_viewed_at or '-'}."
    )
    buckets = list(dropwhile(_is_empty, statistics.buckets))
    if not buckets:
        echo("Nothing in this period.")
        return
    interval = query.get("interval", "day")
    # A time is cut to the hour or the day.
    length = len("2025-01-15T10:00") if interval == "hour" else len("2025-01-15")
    head = (interval.upper(), "VIEWS", "PAGES", "API", "BOTS", "DOWNLOADS")
    rows = [
        (
            bucket.start[:length],
            *map(str, (bucket.views, bucket.pages, bucket.api, bucket.bots, bucket.downloads)),
        )
        for bucket in buckets
    ]
    widths = column_widths([head, *rows])
    columns = shutil.get_terminal_size().columns
    room = max(columns - sum(widths) - _GAP * len(widths), _NARROWEST)
    highest = max(bucket.views for bucket in buckets) or 1
    bars = [_bar(bucket.views / highest, room) for bucket in buckets]
    lines = [
        (row[0], *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)), bar)
        for row, bar in zip([head, *rows], ["", *bars], strict=True)
    ]
    echo_rows(lines, [*widths, 0])


def _is_empty(bucket: ViewBucket) -> bool:
    return not (bucket.views or bucket.bots or bucket.downloads)


def _bar(share: float, room: int) -> str:
    """Return a bar of up to ``room`` characters, in eighths of one if the output has them."""
    eighths = round(share * room * 8)
    if share and not eighths:
        eighths = 1
    try:
        _EIGHTHS.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "#" * -(-eighths // 8)
    whole, rest = divmod(eighths, 8)
    return _EIGHTHS[-1] * whole + (_EIGHTHS[rest - 1] if rest else "")
