"""A user's links: lists, filtered and in pages, and one link by its id."""

from msgspec import Raw

from service.domain.errors import NotFoundError
from service.domain.links import NO_FILTER, LinkFilter, SharedReport
from service.domain.paging import FIRST_PAGE, Page, encode_rows
from service.domain.types import row_id
from service.domain.videos import find_video
from service.repositories.link_mapping import (
    REPORT_FIELDS,
    map_rows,
    shared_report,
)
from service.repositories.list_pages import fetch_page
from service.repositories.postgresql.engine.database import Database
from service.repositories.postgresql.engine.statements import read, storable
from service.repositories.postgresql.link_sql import FIND_VIDEOS, report_columns, status_sql
from service.repositories.postgresql.list_pages import list_query
from service.repositories.postgresql.revocations import not_revoked

_WHERE = f"""{not_revoked()}
       AND (:status::text IS NULL OR {status_sql("shared_reports")} = :status)
       AND (:label::text IS NULL OR starts_with(label, :label))
       AND (:expires_before::timestamptz IS NULL OR expires_at < :expires_before)"""

_OF_USER = list_query(
    "a user's links", report_columns(), "shared_reports", owner="user_id", where=_WHERE
)
_OF_VIDEO = list_query(
    "a video's links",
    report_columns(),
    "shared_reports",
    owner="video_id",
    where=f"user_id = :user_id AND {_WHERE}",
)

_FIND_VIDEO = read("""-- find a video of links
    SELECT id FROM videos WHERE user_id = :user_id AND job_id = :job_id""")

_GET = read(f"""-- get a link
    SELECT {report_columns()} FROM shared_reports
     WHERE id = :id AND user_id = :user_id AND {not_revoked()}""")


_MODULES = REPORT_FIELDS.index("modules")


class PostgresqlLinkLists:
    """Lists of a user's links, and one link by its id: see ``base.LinkListRepository``."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
        video_id = await self._find_video(user_id, video)
        return ([], None) if video_id is None else await self._page(user_id, video_id, page, wanted)

    async def list_for_video(
        self, user_id: str, job_id: str, page: Page = FIRST_PAGE, wanted: LinkFilter = NO_FILTER
    ) -> tuple[list[Raw], Page | None]:
        """Return a page of the links of a user's video, likewise. Raises NotFoundError."""
        rows = await self._database.lookups.fetch_all(
            _FIND_VIDEO, user_id=user_id, job_id=storable(job_id)
        )
        if not rows:
            raise NotFoundError("No such video.")
        return await self._page(user_id, rows[0][0], page, wanted)

    async def get(self, user_id: str, report_id: str) -> SharedReport:
        """Return a user's link. Raises NotFoundError."""
        rows = await self._database.lookups.fetch_all(
            _GET, user_id=user_id, id=row_id(report_id), now=self._database.now
        )
        if not rows:
            raise NotFoundError("No such shared report.")
        return shared_report(rows[0])

    async def _find_video(self, user_id: str, video: str) -> int | None:
        """Return the id of the video with this job id or id. Raises ConflictError if two have."""
        rows = await self._database.lookups.fetch_all(
            FIND_VIDEOS, user_id=user_id, video=storable(video), video_id=row_id(video)
        )
        return find_video(video, {row[0]: row[1] for row in rows})

    async def _page(
        self, user_id: str, video_id: int | None, page: Page, wanted: LinkFilter
    ) -> tuple[list[Raw], Page | None]:
        if wanted.label is not None and storable(wanted.label) is None:
            return [], None
        of_video = {} if video_id is None else {"video_id": video_id}
        rows, following = await fetch_page(
            self._database.long.fetch_all,
            _OF_USER if video_id is None else _OF_VIDEO,
            page,
            is_filtered=wanted.is_narrow,
            caller=user_id,
            user_id=user_id,
            status=wanted.status,
            label=wanted.label,
            expires_before=wanted.expires_before,
            now=self._database.now,
            **of_video,
        )
        # The server is shared: to make the JSON there takes it as long as it saves here.
        parts = await encode_rows(await map_rows(rows, shared_report, _MODULES))
        return list(map(Raw, parts)), following
