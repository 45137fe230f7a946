"""Statistics of a link and of a video as a plot, and what a user uses."""

from collections.abc import Awaitable, Callable
from typing import Any, get_args

from aiohttp import web

from service.aiohttp_ext.response import Response
from service.domain.clock import to_seconds, to_text
from service.domain.errors import InvalidError
from service.domain.statistics import Interval, Period, ViewStatistics, read_period
from service.web.app_keys import CONFIG, NOW, REPOSITORIES
from service.web.console.plot import Plot, plot
from service.web.console.rendering import show
from service.web.console.routing import ConsoleTable
from service.web.console.sessions import Session
from service.web.console.settings import errors_of
from service.web.console.videos import find_video
from service.web.console.words import bytes_words

table = ConsoleTable()

_DAY = 86_400
_PERIODS = (
    ("24 hours", 1, "hour"),
    ("7 days", 7, "hour"),
    ("30 days", 30, "day"),
    ("90 days", 90, "day"),
    ("a year", 365, "day"),
)
"""Periods to choose from: a name, days until now, and what a bar is."""


@table.page("/console/links/{report_id}/statistics")
async def link_statistics(request: web.Request, session: Session) -> Response:
    """Show the views of a link over time."""
    repositories, user_id = request.app[REPOSITORIES], session.owner.user_id
    link = await repositories.link_lists.get(user_id, request.match_info["report_id"])
    return await _show_statistics(
        request,
        session,
        lambda period: repositories.statistics.of_link(user_id, link.id, period),
        subject=link.label or f"Link {link.id}",
        back=f"../{link.id}",
        of_video=False,
    )


@table.page("/console/videos/{video_id}/statistics")
async def video_statistics(request: web.Request, session: Session) -> Response:
    """Show the views of all links of a video over time, also of those that are gone."""
    video = await find_video(request, session.owner)
    repositories, user_id = request.app[REPOSITORIES], session.owner.user_id
    return await _show_statistics(
        request,
        session,
        lambda period: repositories.statistics.of_video(user_id, video.job_id, period),
        subject=video.name,
        back=f"../{video.id}",
        of_video=True,
    )


async def _show_statistics(
    request: web.Request,
    session: Session,
    fetch: Callable[[Period], Awaitable[ViewStatistics]],
    **values: Any,
) -> Response:
    """Return the page of the period that a request asks for, by the parameters of the API."""
    now, kept_days = request.app[NOW](), request.app[CONFIG].statistics_days
    query = {name: text for name in ("interval", "from", "to") if (text := request.query.get(name))}
    errors = {}
    try:
        period = read_period(query, now, kept_days)
    except InvalidError as error:
        errors, period = errors_of(error), read_period({}, now, kept_days)
    statistics = await fetch(period)
    periods = [
        (name, f"?interval={interval}&from={to_text(to_seconds(now) - days * _DAY)}")
        for name, days, interval in _PERIODS
        if days <= kept_days
    ]
    return await show(
        request,
        session,
        "statistics.html",
        statistics=statistics,
        plot=plot_of(statistics, period),
        has_counts=any(
            bucket.views or bucket.bots or bucket.downloads for bucket in statistics.buckets
        ),
        query=query,
        intervals=get_args(Interval),
        periods=periods,
        errors=errors,
        kept_days=kept_days,
        **values,
    )


def plot_of(statistics: ViewStatistics, period: Period) -> Plot | None:
    """Return the plot of a period; None if nothing of it is kept."""
    if not statistics.buckets:
        return None
    return plot(statistics.buckets, is_hourly=period.width == 1)


async def recent_plot(request: web.Request, session: Session, report_id: str) -> Plot | None:
    """Return the plot of a link's last 30 days. Raises NotFoundError."""
    app = request.app
    period = read_period({}, app[NOW](), app[CONFIG].statistics_days)
    statistics = app[REPOSITORIES].statistics
    return plot_of(await statistics.of_link(session.owner.user_id, report_id, period), period)


@table.page("/console/usage")
async def show_usage(request: web.Request, session: Session) -> Response:
    """Show what the user has, and may have."""
    usage = await request.app[REPOSITORIES].usage.get(session.owner.user_id)
    rows = (
        ("Links that work", usage.links, str(usage.links.used), str(usage.links.limit)),
        ("Videos", usage.videos, str(usage.videos.used), str(usage.videos.limit)),
        (
            "Analyses",
            usage.bytes,
            bytes_words(usage.bytes.used),
            bytes_words(usage.bytes.limit or 0),
        ),
    )
    return await show(
        request,
        session,
        "usage.html",
        rows=rows,
        rules=request.app[CONFIG].link_rules,
        kept_days=request.app[CONFIG].retention_days,
    )
