"""Statistics: the views of a link or a video by the hour or the day, and what a user uses."""

from aiohttp import web

from service.aiohttp_ext.response import Response, json_response
from service.domain.errors import InvalidError, NotFoundError
from service.domain.statistics import ViewStatistics, read_period
from service.domain.types import Owner
from service.domain.usage import Usage
from service.web.app_keys import CONFIG, NOW, REPOSITORIES
from service.web.routing import RouteTable

table = RouteTable("Statistics")

_QUERY = ("interval", "from", "to")


@table.owned(
    "GET",
    "/api/shared-reports/{report_id}/views",
    operation="getSharedReportViews",
    query=_QUERY,
    returns=ViewStatistics,
    problems=(NotFoundError, InvalidError),
)
async def of_link(request: web.Request, owner: Owner) -> Response:
    """Get the views of a shared report by the hour or the day (UTC).

    Of the last 30 days, or of another period: the buckets that `from` to `to` overlap, at most 750.
    Counts only: no address, no agent and no referrer is stored.
    """
    period = read_period(request.query, request.app[NOW](), request.app[CONFIG].statistics_days)
    statistics = request.app[REPOSITORIES].statistics
    report_id = request.match_info["report_id"]
    return json_response(await statistics.of_link(owner.user_id, report_id, period))


@table.owned(
    "GET",
    "/api/videos/{job_id}/views",
    operation="getVideoViews",
    query=_QUERY,
    returns=ViewStatistics,
    problems=(NotFoundError, InvalidError),
)
async def of_video(request: web.Request, owner: Owner) -> Response:
    """Get the views of all shared reports of a video, by the hour or the day (UTC).

    Also of those that are deleted. The period is that of the views of one shared report.
    """
    period = read_period(request.query, request.app[NOW](), request.app[CONFIG].statistics_days)
    statistics = request.app[REPOSITORIES].statistics
    job_id = request.match_info["job_id"]
    return json_response(await statistics.of_video(owner.user_id, job_id, period))


@table.owned("GET", "/api/usage", operation="getUsage", returns=Usage)
async def usage(request: web.Request, owner: Owner) -> Response:
    """Get what the user of the key has, and may have.

    A call that would go beyond a limit gets 409 and changes nothing.
    """
    return json_response(await request.app[REPOSITORIES].usage.get(owner.user_id))
