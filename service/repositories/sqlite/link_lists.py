"""A user's links: lists, filtered and in pages, and one link by its id."""

from msgspec import Raw

from service.domain.clock import Now
from service.domain.errors import NotFoundError
from service.domain.links import NO_FILTER, LinkFilter, SharedReport
from service.domain.paging import FIRST_PAGE, Page
from service.domain.types import row_id
from service.domain.videos import find_video
from service.repositories.link_mapping import shared_report
from service.repositories.list_pages import fetch_json_page
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.link_sql import (
    FIND_VIDEOS,
    report_columns,
    report_json,
    status_sql,
)
from service.repositories.sqlite.list_pages import json_list_query
from service.repositories.sqlite.revocations import not_revoked

_WHERE = f"""{not_revoked()}
       AND (:status IS NULL OR {status_sql("shared_reports", ":now")} = :status)
       AND (:label IS NULL OR instr(label, :label) = 1)
       AND (:expires_before IS NULL OR expires_at < :expires_before)"""

_OF_USER = json_list_query(
    "a user's links", report_json(), "shared_reports", index="user_id = :user_id", where=_WHERE
)
_OF_VIDEO = json_list_query(
    "a video's links",
    report_json(),
    "shared_reports",
    index="video_id = :video_id",
    where=f"+user_id = :user_id AND {_WHERE}",  # the plus keeps to the video's index
)

_FIND_VIDEO = """-- find a video of links
    SELECT id FROM videos WHERE user_id = :user_id AND job_id = :job_id"""

_GET = f"""-- get a link
    SELECT {report_columns()} FROM shared_reports
     WHERE id = :id AND user_id = :user_id AND {not_revoked()}"""


class SqliteLinkLists:
    """Lists of a user's links, and one link by its id: see ``base.LinkListRepository``."""

    def __init__(self, database: Database, now: Now) -> None:
        self._reader, self._read_worker = database.reader, database.read_worker
        self._now = now

    async def list_all(
        self,
        user_id: str,
        page: Page = FIRST_PAGE,
        wanted: LinkFilter = NO_FILTER,
        video: str | None = None,
    ) -> tuple[list[Raw], Page | None]:
        """Return a page of a user's links, newest first, and the page after it.

        With ``video``, a job id or an id, only the links of that video; none if it is unknown.
        """
        if video is None:
            return await self._page(user_id, None, page, wanted)
        video_id = self._find_video(user_id, video)
        return ([], None) if video_id is None else await self._page(user_id, video_id, page, wanted)

    async def list_for_video(
        self, user_id: str, job_id: str, page: Page = FIRST_PAGE, wanted: LinkFilter = NO_FILTER
    ) -> tuple[list[Raw], Page | None]:
        """Return a page of the links of a user's video, likewise. Raises NotFoundError."""
        rows = self._reader.fetch_all(_FIND_VIDEO, user_id=user_id, job_id=job_id)
        if not rows:
            raise NotFoundError("No such video.")
        return await self._page(user_id, rows[0][0], page, wanted)

    async def get(self, user_id: str, report_id: str) -> SharedReport:
        """Return a user's link. Raises NotFoundError."""
        rows = self._reader.fetch_all(_GET, user_id=user_id, id=row_id(report_id), now=self._now())
        if not rows:
            raise NotFoundError("No such shared report.")
        return shared_report(rows[0])

    def _find_video(self, user_id: str, video: str) -> int | None:
        """Return the id of the video with this job id or id. Raises ConflictError if two have."""
        rows = self._reader.fetch_all(
            FIND_VIDEOS, user_id=user_id, video=video, video_id=row_id(video)
        )
        return find_video(video, dict(rows))

    async def _page(
        self, user_id: str, video_id: int | None, page: Page, wanted: LinkFilter
    ) -> tuple[list[Raw], Page | None]:
        return await fetch_json_page(
            self._read_worker.fetch_all,
            _OF_USER if video_id is None else _OF_VIDEO,
            page,
            is_filtered=wanted.is_narrow,
            caller=user_id,
            user_id=user_id,
            video_id=video_id,
            status=wanted.status,
            label=wanted.label,
            expires_before=wanted.expires_before,
            now=self._now,
        )
