"""Videos and their analysis: the table ``videos``."""

import msgspec

from service.domain.errors import UnavailableError
from service.domain.paging import FIRST_PAGE, Page
from service.domain.videos import Analysis, Video
from service.repositories.list_pages import fetch_page
from service.repositories.postgresql.engine.database import Database
from service.repositories.postgresql.engine.errors import AnswerLostError
from service.repositories.postgresql.engine.statements import (
    NOW_SECOND,
    read,
    storable,
    write,
)
from service.repositories.postgresql.list_pages import list_query
from service.repositories.postgresql.usage import PostgresqlUsage
from service.repositories.video_mapping import only, public_fields_json, video

_SMALL_BYTES = 64 * 2**10
"""Bytes of an analysis from which on it is written beside the small writes, not among them."""

_COLUMNS = """
    videos.id, user_id, job_id, project_id, name, status, selected_insights, duration, file_size,
    processing_time, storage_path, created_at, updated_at"""

_STORE = """
        ON CONFLICT (user_id, job_id) DO UPDATE
       SET project_id = excluded.project_id, name = excluded.name, status = excluded.status,
           selected_insights = excluded.selected_insights, duration = excluded.duration,
           file_size = excluded.file_size, processing_time = excluded.processing_time,
           storage_path = excluded.storage_path, updated_at = excluded.updated_at,
           modules = excluded.modules, public_fields_json = excluded.public_fields_json,
           segments = excluded.segments, revision = videos.revision + 1"""

_INSERT = f"""
    INSERT INTO videos (user_id, job_id, project_id, name, status, selected_insights, duration,
           file_size, processing_time, storage_path, created_at, updated_at, modules,
           public_fields_json, segments)
    SELECT :user_id, :job_id, :project_id, :name, :status, :selected_insights,
           :duration::double precision, :file_size::bigint, :processing_time::double precision,
           :storage_path, {NOW_SECOND}, {NOW_SECOND}, :modules, :public_fields_json,
           :segments::bytea"""

_PUT = write(f"""-- put a video
    {_INSERT} {_STORE}
    RETURNING {_COLUMNS}, revision""")

# The row of usage is locked after the video's, and read as it is then.
_PUT_WITHIN_QUOTA = write(f"""-- put a video within quotas
      WITH stored AS MATERIALIZED (
           SELECT octet_length(segments)::bigint AS size FROM videos
            WHERE user_id = :user_id AND job_id = :job_id FOR NO KEY UPDATE),
           usage AS (
           INSERT INTO user_usage AS known
           SELECT :user_id, 0, 0, 0 * count(*) FROM stored
               ON CONFLICT (user_id) DO UPDATE SET videos = known.videos
           RETURNING videos, bytes)
    {_INSERT}
      FROM usage LEFT JOIN stored ON true
     WHERE (:max_videos::bigint IS NULL OR usage.videos < :max_videos OR stored.size IS NOT NULL)
       AND (:max_bytes::bigint IS NULL OR octet_length(:segments) <= stored.size
            OR usage.bytes + octet_length(:segments) - coalesce(stored.size, 0) <= :max_bytes)
    {_STORE}
    RETURNING {_COLUMNS}, revision""")

_LIST = list_query(
    "videos",
    _COLUMNS,
    "videos",
    owner="user_id",
    where="""(:status::text IS NULL OR status = :status)
       AND (:project_id::text IS NULL OR project_id = :project_id)""",
)

_GET = read(f"""-- get a video
    SELECT {_COLUMNS} FROM videos WHERE user_id = :user_id AND job_id = :job_id""")

_GET_SEGMENTS = read("""-- get a video's segments
    SELECT segments FROM videos WHERE user_id = :user_id AND job_id = :job_id""")

# The largest id there is: also a link that is created meanwhile is revoked. The row is deleted with
# the last of the video's links.
_DELETE = write("""-- delete a video
      WITH hidden AS (
           UPDATE videos
              SET user_id = 'deleted', job_id = id::text, project_id = NULL, name = '',
                  selected_insights = '[]', duration = NULL, file_size = NULL,
                  processing_time = NULL, storage_path = NULL, modules = '[]',
                  public_fields_json = '', segments = '[]'
            WHERE user_id = :user_id AND job_id = :job_id
           RETURNING id)
    INSERT INTO revocations (video_id, last_id)
    SELECT id, 9223372036854775807 FROM hidden
        ON CONFLICT (video_id) DO UPDATE SET last_id = excluded.last_id
    RETURNING video_id""")


class PostgresqlVideos:
    """Videos of a user. Another user's video does not exist for any method."""

    def __init__(self, database: Database, usage: PostgresqlUsage) -> None:
        self._database = database
        self._usage = usage

    async def put(self, user_id: str, analysis: Analysis) -> tuple[Video, bool]:
        """Create or replace a video: see ``base_owner.VideoRepository.put``."""
        values = msgspec.structs.asdict(analysis) | {
            "modules": msgspec.json.encode(analysis.modules).decode(),
            "public_fields_json": public_fields_json(analysis),
        }
        is_small = len(analysis.segments) < _SMALL_BYTES
        worker = self._database.writer if is_small else self._database.long
        quotas = self._usage.quotas
        has_quota = quotas.videos is not None or quotas.bytes is not None
        rows = await worker.fetch_all(
            _PUT_WITHIN_QUOTA if has_quota else _PUT,
            user_id=user_id,
            now=self._database.now,
            max_videos=quotas.videos,
            max_bytes=quotas.bytes,
            **values,
        )
        if not rows:
            size = len(analysis.segments)
            await self._usage.require_room_for_video(user_id, analysis.job_id, size)
            raise UnavailableError("A quota was reached a moment ago. Try again.")
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
        if project_id is not None and storable(project_id) is None:
            return [], None
        rows, following = await fetch_page(
            self._database.long.fetch_all,
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
        rows = await self._database.lookups.fetch_all(
            _GET, user_id=user_id, job_id=storable(job_id)
        )
        return video(only(rows))

    async def segments(self, user_id: str, job_id: str) -> bytes:
        """Return a video's whole analysis as a JSON array. Raises NotFoundError."""
        rows = await self._database.long.fetch_all(
            _GET_SEGMENTS, user_id=user_id, job_id=storable(job_id)
        )
        return bytes(only(rows)[0])

    async def delete(self, user_id: str, job_id: str) -> None:
        """Delete a video and its analysis, and revoke its links, at once. Raises NotFoundError."""
        owner = {"user_id": user_id, "job_id": storable(job_id)}
        try:
            rows = await self._database.writer.fetch_all(_DELETE, **owner)
        except AnswerLostError:  # if nothing is found now, the video was deleted then
            await self._database.writer.fetch_all(_DELETE, **owner)
            await self._database.confirm()
            return
        only(rows)
