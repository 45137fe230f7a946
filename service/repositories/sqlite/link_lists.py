"""Links as their owner looks through them: lists, filtered and in pages, and one by its id."""

from service.domain.clock import Now
from service.domain.errors import NotFoundError
from service.domain.links import NO_FILTER, LinkFilter, SharedReport
from service.domain.paging import ALL_ROWS, Page
from service.domain.types import row_id
from service.domain.videos import find_video
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.link_rows import shared_report
from service.repositories.sqlite.link_sql import FIND_VIDEOS, report_columns, status_sql

# How many links a trip looks at for those that a filter lets through: some milliseconds' worth, so
# that others get between. With that a filter needs no index, which each new link would pay for: one
# that finds nothing among a million links has looked at all of them in 0.7 s.
_LOOKS = 10_000

_OF_USER = "user_id = :user_id"
_OF_VIDEO = "video_id = :video_id AND +user_id = :user_id"  # the plus keeps to the video's index


def _list(name: str, whose: str) -> str:
    return f"""-- list {name}
    SELECT {report_columns()} FROM shared_reports
     WHERE {whose} AND id < :before AND id >= :until
       AND (:status IS NULL OR {status_sql("shared_reports", ":now")} = :status)
       AND (:label IS NULL OR instr(label, :label) = 1)
       AND (:expires_before IS NULL OR expires_at < :expires_before)
     ORDER BY id DESC LIMIT :rows"""


def _look_ahead(name: str, whose: str) -> str:
    return f"""-- look ahead in {name}
    SELECT id FROM shared_reports WHERE {whose} AND id < :before
     ORDER BY id DESC LIMIT 1 OFFSET :looks - 1"""


_LIST_OF_USER = _list("a user's links", _OF_USER)
_LIST_OF_VIDEO = _list("a video's links", _OF_VIDEO)
_LOOK_AHEAD_OF_USER = _look_ahead("a user's links", _OF_USER)
_LOOK_AHEAD_OF_VIDEO = _look_ahead("a video's links", _OF_VIDEO)

_FIND_VIDEO = """-- find a video of links
    SELECT id FROM videos WHERE user_id = :user_id AND job_id = :job_id"""

_GET = f"""-- get a link
    SELECT {report_columns()} FROM shared_reports WHERE id = :id AND user_id = :user_id"""


class SqliteLinkLists:
    """The verbs of looking through links. Each one is a user's: no other's links are in a list."""

    def __init__(self, database: Database, now: Now) -> None:
        self._reader, self._read_worker = database.reader, database.read_worker
        self._now = now

    async def list_all(
        self,
        user_id: str,
        page: Page = ALL_ROWS,
        wanted: LinkFilter = NO_FILTER,
        video: str | None = None,
    ) -> tuple[list[SharedReport], Page | None]:
        """A page of a user's links, newest first, and the page after it.

        With ``video``, named by its job id or its id, those of that one; none where it is unknown.
        """
        if video is None:
            return await self._page(user_id, None, page, wanted)
        video_id = self._find_video(user_id, video)
        return ([], None) if video_id is None else await self._page(user_id, video_id, page, wanted)

    async def list_for_video(
        self, user_id: str, job_id: str, page: Page = ALL_ROWS, wanted: LinkFilter = NO_FILTER
    ) -> tuple[list[SharedReport], Page | None]:
        """A page of the links of a user's video, likewise. Raises NotFoundError."""
        rows = self._reader.fetch_all(_FIND_VIDEO, user_id=user_id, job_id=job_id)
        if not rows:
            raise NotFoundError("No such video.")
        return await self._page(user_id, rows[0][0], page, wanted)

    async def get(self, user_id: str, report_id: str) -> SharedReport:
        """A user's link. Raises NotFoundError."""
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
    ) -> tuple[list[SharedReport], Page | None]:
        whose: dict[str, object] = {"user_id": user_id}
        statement, look_ahead = _LIST_OF_USER, _LOOK_AHEAD_OF_USER
        if video_id is not None:
            whose["video_id"] = video_id
            statement, look_ahead = _LIST_OF_VIDEO, _LOOK_AHEAD_OF_VIDEO
        found: list[SharedReport] = []
        before, until = page.before, 1
        while True:
            if wanted.is_narrow:
                ahead = await self._read_worker.fetch_all(
                    look_ahead, **whose, before=before, looks=_LOOKS
                )
                until = ahead[0][0] if ahead else 1  # the smallest id of all
            rows = await self._read_worker.fetch_all(
                statement,
                **whose,
                before=before,
                until=until,
                status=wanted.status,
                label=wanted.label,
                expires_before=wanted.expires_before,
                rows=page.rows,
                now=self._now,
            )
            found += map(shared_report, rows)
            if until == 1 or (page.limit is not None and len(found) > page.limit):
                return page.split_page(found)
            before = until
