"""Videos and their analysis: the table ``videos``."""

import msgspec

from service.domain.clock import Now
from service.domain.errors import NotFoundError
from service.domain.paging import ALL_ROWS, Page
from service.domain.videos import Analysis, Video
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.engine.statements import Row

_COLUMNS = """
    id, user_id, job_id, project_id, name, status, selected_insights, duration, file_size,
    processing_time, storage_path, created_at, updated_at"""

_PUT = f"""-- put a video
    INSERT INTO videos (user_id, job_id, project_id, name, status, selected_insights, duration,
           file_size, processing_time, storage_path, created_at, updated_at, modules,
           public_fields_json, segments)
    VALUES (:user_id, :job_id, :project_id, :name, :status, :selected_insights, :duration,
           :file_size, :processing_time, :storage_path, :now, :now, :modules,
           :public_fields_json, CAST(:segments AS TEXT))
        ON CONFLICT (user_id, job_id) DO UPDATE
       SET project_id = excluded.project_id, name = excluded.name, status = excluded.status,
           selected_insights = excluded.selected_insights, duration = excluded.duration,
           file_size = excluded.file_size, processing_time = excluded.processing_time,
           storage_path = excluded.storage_path, updated_at = excluded.updated_at,
           modules = excluded.modules, public_fields_json = excluded.public_fields_json,
           segments = excluded.segments, revision = revision + 1
    RETURNING {_COLUMNS}, revision"""

_LIST = f"""-- list videos
    SELECT {_COLUMNS} FROM videos
     WHERE user_id = :user_id AND id < :before
       AND (:status IS NULL OR status = :status)
       AND (:project_id IS NULL OR project_id = :project_id)
     ORDER BY id DESC LIMIT :rows"""

_GET = f"""-- get a video
    SELECT {_COLUMNS} FROM videos WHERE user_id = :user_id AND job_id = :job_id"""

_GET_SEGMENTS = """-- get a video's segments
    SELECT CAST(segments AS BLOB) FROM videos WHERE user_id = :user_id AND job_id = :job_id"""

_DELETE = """-- delete a video
    DELETE FROM videos WHERE user_id = :user_id AND job_id = :job_id RETURNING id"""


class SqliteVideos:
    """Videos of a user. Another user's video does not exist for any method."""

    def __init__(self, database: Database, now: Now) -> None:
        self._database = database
        self._now = now

    async def put(self, user_id: str, analysis: Analysis) -> tuple[Video, bool]:
        """Create or replace a video and its whole analysis. Returns it, and whether it is new."""
        [row] = await self._database.writer.fetch_all(
            _PUT,
            user_id=user_id,
            now=self._now,
            **msgspec.structs.asdict(analysis)
            | {
                "modules": msgspec.json.encode(analysis.modules).decode(),
                "public_fields_json": _public_fields_json(analysis),
            },
        )
        return _video(row), row[-1] == 1

    async def list_all(
        self,
        user_id: str,
        page: Page = ALL_ROWS,
        *,
        status: str | None = None,
        project_id: str | None = None,
    ) -> tuple[list[Video], Page | None]:
        """A page of a user's videos, newest first, and the page after it."""
        rows = await self._database.read_worker.fetch_all(
            _LIST,
            user_id=user_id,
            before=page.before,
            rows=page.rows,
            status=status,
            project_id=project_id,
        )
        return page.split_page([_video(row) for row in rows])

    async def get(self, user_id: str, job_id: str) -> Video:
        """One video. Raises NotFoundError."""
        return _video(_only(self._database.reader.fetch_all(_GET, user_id=user_id, job_id=job_id)))

    async def segments(self, user_id: str, job_id: str) -> bytes:
        """Return a video's whole analysis as a JSON array. Raises NotFoundError."""
        rows = await self._database.read_worker.fetch_all(
            _GET_SEGMENTS, user_id=user_id, job_id=job_id
        )
        return bytes(_only(rows)[0])

    async def delete(self, user_id: str, job_id: str) -> None:
        """Delete a video, its analysis and its links, all at once. Raises NotFoundError."""
        _only(await self._database.writer.fetch_all(_DELETE, user_id=user_id, job_id=job_id))


def _only(rows: list[Row]) -> Row:
    if not rows:
        raise NotFoundError("No such video.")
    return rows[0]


def _video(row: Row) -> Video:
    return Video(str(row[0]), *row[1:13])


def _public_fields_json(analysis: Analysis) -> str:
    """Return the column of that name: members of a JSON object, without braces."""
    members = ("job_id", "name", "status", "duration", "processing_time")
    return msgspec.json.encode({name: getattr(analysis, name) for name in members}).decode()[1:-1]
