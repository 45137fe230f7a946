"""Videos and their analysis: the table ``videos``."""

import msgspec

from service.domain.clock import Now
from service.domain.errors import UnavailableError
from service.domain.paging import FIRST_PAGE, Page
from service.domain.videos import Analysis, Video
from service.repositories.list_pages import fetch_page
from service.repositories.sqlite.analyses import (
    ANALYSIS_COLUMNS,
    IS_WRITTEN,
    READ_TRIES,
    Analyses,
)
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.list_pages import list_query
from service.repositories.sqlite.usage import HAS_ROOM_FOR_VIDEO, SqliteUsage
from service.repositories.video_mapping import only, public_fields_json, video

_COLUMNS = """
    id, user_id, job_id, project_id, name, status, selected_insights, duration, file_size,
    processing_time, storage_path, created_at, updated_at"""

_PUT = f"""-- put a video
    INSERT INTO videos (user_id, job_id, project_id, name, status, selected_insights, duration,
           file_size, processing_time, storage_path, created_at, updated_at, modules,
           public_fields_json, segments, analysis_id)
    SELECT :user_id, :job_id, :project_id, :name, :status, :selected_insights, :duration,
           :file_size, :processing_time, :storage_path, :now, :now, :modules,
           :public_fields_json, CAST(:segments AS TEXT), :analysis_id
     WHERE {IS_WRITTEN} AND {HAS_ROOM_FOR_VIDEO}
        ON CONFLICT (user_id, job_id) DO UPDATE
       SET project_id = excluded.project_id, name = excluded.name, status = excluded.status,
           selected_insights = excluded.selected_insights, duration = excluded.duration,
           file_size = excluded.file_size, processing_time = excluded.processing_time,
           storage_path = excluded.storage_path, updated_at = excluded.updated_at,
           modules = excluded.modules, public_fields_json = excluded.public_fields_json,
           segments = excluded.segments, analysis_id = excluded.analysis_id,
           revision = revision + 1
    RETURNING id, user_id, job_id, project_id, name, status, selected_insights,
           CAST(duration AS REAL), -- RETURNING alone makes integers of whole numbers
           file_size, CAST(processing_time AS REAL), storage_path, created_at, updated_at,
           revision"""

_LIST = list_query(
    "videos",
    _COLUMNS,
    "videos",
    index="user_id = :user_id",
    where="""(:status IS NULL OR status = :status)
       AND (:project_id IS NULL OR project_id = :project_id)""",
)

_GET = f"""-- get a video
    SELECT {_COLUMNS} FROM videos WHERE user_id = :user_id AND job_id = :job_id"""

_GET_SEGMENTS = f"""-- get a video's segments
    SELECT {ANALYSIS_COLUMNS} FROM videos WHERE user_id = :user_id AND job_id = :job_id"""

# The trigger `videos_hidden` revokes the video's links in the same statement.
_DELETE = """-- delete a video
    UPDATE videos
       SET user_id = 'deleted', job_id = id, project_id = NULL, name = '', selected_insights = '[]',
           duration = NULL, file_size = NULL, processing_time = NULL, storage_path = NULL,
           modules = '[]', public_fields_json = '', segments = '[]',
           analysis_id = NULL
     WHERE user_id = :user_id AND job_id = :job_id
    RETURNING id"""


class SqliteVideos:
    """Videos of a user. Another user's video does not exist for any method."""

    def __init__(self, database: Database, now: Now, usage: SqliteUsage) -> None:
        self._database = database
        self._usage = usage
        self._analyses = Analyses(database, now)
        self._now = now

    async def put(self, user_id: str, analysis: Analysis) -> tuple[Video, bool]:
        """Create or replace a video: see ``base_owner.VideoRepository.put``."""
        size, quotas = len(analysis.segments), self._usage.quotas
        self._usage.require_room_for_video(user_id, analysis.job_id, size)  # before its parts
        values = msgspec.structs.asdict(analysis) | {
            "modules": msgspec.json.encode(analysis.modules).decode(),
            "public_fields_json": public_fields_json(analysis),
            "size": size,
            "max_videos": quotas.videos,
            "max_bytes": quotas.bytes,
        }
        async with self._analyses.written(user_id, analysis.segments) as written:
            rows = await self._database.writer.fetch_all(
                _PUT, caller=user_id, user_id=user_id, now=self._now, **values | written
            )
            if not rows:
                self._usage.require_room_for_video(user_id, analysis.job_id, size)
                raise UnavailableError("The analysis could not be stored. Try again.")
        [row] = rows
        return video(row), row[-1] == 1

    async def list_all(
        self,
        user_id: str,
        page: Page = FIRST_PAGE,
        *,
        status: str | None = None,
        project_id: str | None = None,
    ) -> tuple[list[Video], Page | None]:
        """Return a page of a user's videos, newest first, and the page after it."""
        rows, following = await fetch_page(
            self._database.read_worker.fetch_all,
            _LIST,
            page,
            is_filtered=status is not None or project_id is not None,
            caller=user_id,
            user_id=user_id,
            status=status,
            project_id=project_id,
        )
        return [video(row) for row in rows], following

    async def get(self, user_id: str, job_id: str) -> Video:
        """One video. Raises NotFoundError."""
        return video(only(self._database.reader.fetch_all(_GET, user_id=user_id, job_id=job_id)))

    async def segments(self, user_id: str, job_id: str) -> bytes:
        """Return a video's whole analysis as a JSON array. Raises NotFoundError."""
        for _ in range(READ_TRIES):
            rows = await self._database.read_worker.fetch_all(
                _GET_SEGMENTS, user_id=user_id, job_id=job_id
            )
            segments = await self._analyses.read(*only(rows))
            if segments is not None:
                return segments
        raise UnavailableError("The video is being replaced. Try again.")

    async def delete(self, user_id: str, job_id: str) -> None:
        """Delete a video and its analysis, and revoke its links, at once. Raises NotFoundError."""
        only(
            await self._database.writer.fetch_all(
                _DELETE, caller=user_id, user_id=user_id, job_id=job_id
            )
        )
