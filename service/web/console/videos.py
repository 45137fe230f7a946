"""Videos: a list, and one video with its links."""

from collections.abc import Mapping
from functools import partial
from typing import get_args

from aiohttp import web

from service.aiohttp_ext.response import Response
from service.domain.errors import InvalidError, NotFoundError
from service.domain.links import LinkState
from service.domain.normal_form import nfc
from service.domain.paging import Page
from service.domain.types import Owner, row_id
from service.domain.validation import read_filter
from service.domain.videos import Status, Video
from service.repositories.base_console import COUNTED_MAX
from service.web.app_keys import REPOSITORIES
from service.web.console.forms import Form
from service.web.console.lists import decode_links, list_view
from service.web.console.rendering import redirect, show
from service.web.console.routing import ConsoleTable
from service.web.console.sessions import Session
from service.web.link_requests import revoke_links

table = ConsoleTable()

LINK_FILTERS = ("status", "label", "expires_before")


@table.page("/console/videos")
async def list_videos(request: web.Request, session: Session) -> Response:
    """List the videos with their status and the number of their links."""
    repositories, user_id = request.app[REPOSITORIES], session.owner.user_id

    async def fetch(page: Page, query: Mapping[str, str]) -> tuple[list[Video], Page | None]:
        status, project_id = query.get("status"), query.get("project_id")
        if status is not None and status not in get_args(Status):
            raise InvalidError(f"`status` is one of {', '.join(get_args(Status))}.")
        project_id = None if project_id is None else nfc(project_id)
        return await repositories.videos.list_all(
            user_id, page, status=status, project_id=project_id
        )

    videos = await list_view(request, fetch, ("status", "project_id"))
    ids = [video.id for video in videos.rows]
    summaries = await repositories.summaries.of_videos(user_id, ids) if ids else {}
    counts = {video_id: count_words(summary.links) for video_id, summary in summaries.items()}
    return await show(
        request, session, "videos.html", list=videos, counts=counts, states=get_args(Status)
    )


def count_words(count: int) -> str:
    """Return the number of a video's links; a large one is not counted to its end."""
    return str(count) if count <= COUNTED_MAX else f"more than {COUNTED_MAX}"


async def find_video(request: web.Request, owner: Owner) -> Video:
    """Return the video that the path names by its id. Raises NotFoundError.

    A job id may be any text, also one that no path can hold.
    """
    repositories, text = request.app[REPOSITORIES], request.match_info["video_id"]
    job_ids = await repositories.links.find_videos(owner.user_id, text)
    job_id = job_ids.get(row_id(text) or 0)
    if job_id is None:
        raise NotFoundError("There is no such video.")
    return await repositories.videos.get(owner.user_id, job_id)


@table.page("/console/videos/{video_id}")
async def show_video(request: web.Request, session: Session) -> Response:
    """Show a video and its links."""
    video = await find_video(request, session.owner)
    fetch = partial(
        request.app[REPOSITORIES].link_lists.list_for_video, session.owner.user_id, video.job_id
    )
    links = await list_view(
        request, lambda page, query: decode_links(fetch(page, read_filter(query))), LINK_FILTERS
    )
    return await show(
        request,
        session,
        "video.html",
        video=video,
        list=links,
        states=get_args(LinkState),
        done=request.query.get("done"),
    )


@table.page("/console/videos/{video_id}/revoke")
async def ask_to_revoke_all(request: web.Request, session: Session) -> Response:
    """Ask once before all links of a video are revoked."""
    video = await find_video(request, session.owner)
    return await show(
        request,
        session,
        "confirm.html",
        title="Revoke all links of this video?",
        subject=video.name,
        consequences=(
            "All links of the video stop working at once, for everybody, and are deleted.",
            "They cannot be brought back. The video and its analysis stay.",
        ),
        button="Revoke all links",
        back="../" + video.id,
    )


@table.action("/console/videos/{video_id}/revoke")
async def revoke_all(request: web.Request, session: Session, _form: Form) -> Response:
    """Revoke all links of a video."""
    video = await find_video(request, session.owner)
    await revoke_links(request.app, session.owner, video.job_id)
    return redirect(request, f"videos/{video.id}?done=revoked-all")
