"""Videos: the platform hands its results in; their owner reads, lists and deletes them."""

from functools import partial
from typing import get_args
from urllib.parse import quote

from aiohttp import web

from service.aiohttp_ext.response import Response, json_response, raw_response
from service.domain.errors import ConflictError, InvalidError, MalformedError, NotFoundError
from service.domain.normal_form import nfc
from service.domain.platform_export import Export, read_export
from service.domain.segments import select_modules
from service.domain.types import Done, Owner
from service.domain.videos import Segment, Status, Video
from service.web.app_keys import NOW, POOLS, REPOSITORIES, SWEEPER
from service.web.paging import respond_with_list
from service.web.report_responses import is_connected
from service.web.request_body import EXPORT_MAX, read_body
from service.web.routing import RouteTable

table = RouteTable("Videos")

_IGNORED_FIELDS_MAX = 990  # bytes, without the count of the rest


@table.owned(
    "PUT",
    "/api/videos/{job_id}",
    operation="putVideo",
    creates=True,
    body=Export,
    returns=Video,
    also=(201,),
    headers=("Ignored-Fields",),
    problems=(ConflictError,),
)
async def put(request: web.Request, owner: Owner) -> Response:
    """Create or replace a video and its whole analysis, from the platform's export of the job.

    The export is stored whole, or not at all. The segments are those of `segments`, and those of
    each module that `segments` has nothing of, from the list under the module's name. Fields that
    are not known are passed over; `Ignored-Fields` names them. The video's links go on working.
    """
    job_id = request.match_info["job_id"]
    body = await read_body(request, EXPORT_MAX)
    analysis = await request.app[POOLS].parsing.run(
        read_export,
        body,
        request.app[NOW](),
        job_id,
        caller=owner.user_id,
        is_wanted=is_connected(request),
    )
    video, is_new = await request.app[REPOSITORIES].videos.put(owner.user_id, analysis)
    if not is_new:
        await request.app[SWEEPER].delete_revoked()
    headers = _ignored_fields(analysis.ignored_fields)
    return json_response(video, status=201 if is_new else 200, headers=headers)


def _ignored_fields(names: tuple[str, ...]) -> dict[str, str]:
    """The header that names the ignored fields; those beyond its bound are counted."""
    if not names:
        return {}
    items: list[str] = []
    room = _IGNORED_FIELDS_MAX
    for number, name in enumerate(names):
        item = quote(name, safe="")
        room -= len(item) + len(", ")
        if room < 0:
            items.append(f"+{len(names) - number}")
            break
        items.append(item)
    return {"Ignored-Fields": ", ".join(items)}


@table.owned(
    "GET",
    "/api/videos",
    operation="listVideos",
    query=("status", "project_id", "limit", "cursor"),
    returns=list[Video],
    headers=("Link-Next",),
    problems=(InvalidError, MalformedError),
)
async def list_all(request: web.Request, owner: Owner) -> Response:
    """List the videos, newest first.

    All of them, or with `limit` or `cursor` a page, whose `Link` header leads to the next.
    """
    status, project_id = request.query.get("status"), request.query.get("project_id")
    if status is not None and status not in get_args(Status):
        raise InvalidError(f"`status` is one of {', '.join(get_args(Status))}.")
    fetch = partial(
        request.app[REPOSITORIES].videos.list_all,
        owner.user_id,
        status=status,
        project_id=None if project_id is None else nfc(project_id),
    )
    return await respond_with_list(request, fetch)


@table.owned(
    "GET",
    "/api/videos/{job_id}",
    operation="getVideo",
    returns=Video,
    problems=(NotFoundError,),
)
async def get(request: web.Request, owner: Owner) -> Response:
    """Get a video.

    Its analysis is at `/api/videos/{job_id}/segments`.
    """
    return json_response(
        await request.app[REPOSITORIES].videos.get(owner.user_id, request.match_info["job_id"])
    )


@table.owned(
    "GET",
    "/api/videos/{job_id}/segments",
    operation="getVideoSegments",
    query=("module",),
    returns=list[Segment],
    problems=(NotFoundError,),
)
async def segments(request: web.Request, owner: Owner) -> Response:
    """Get a video's analysis, ordered by start time.

    All modules, or the one that `module` names.
    """
    job_id, module = request.match_info["job_id"], request.query.get("module")
    downloads = request.app[POOLS].downloads
    async with downloads.place(owner.user_id, is_connected(request)) as place:
        body = await request.app[REPOSITORIES].videos.segments(owner.user_id, job_id)
        if module is not None:
            body = await place.run(select_modules, body, {module, nfc(module)})
    return raw_response(body)


@table.owned(
    "DELETE",
    "/api/videos/{job_id}",
    operation="deleteVideo",
    returns=Done,
    problems=(NotFoundError,),
)
async def delete(request: web.Request, owner: Owner) -> Response:
    """Delete a video with its analysis and its shared reports.

    The links no longer work when the response arrives.
    """
    await request.app[REPOSITORIES].videos.delete(owner.user_id, request.match_info["job_id"])
    await request.app[SWEEPER].delete_revoked()
    return json_response(Done())
