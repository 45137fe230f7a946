"""Links: the table ``shared_reports``."""

from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

import msgspec
from msgspec import UNSET

from service.domain.clock import Now
from service.domain.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    ServiceError,
)
from service.domain.idempotency import IdempotencyRecord
from service.domain.links import (
    ACTIVE_STATES,
    Link,
    LinkCounts,
    LinkSettings,
    LinkState,
    PublicReport,
    ReportWithAnalysis,
    SharedReport,
)
from service.domain.types import row_id
from service.repositories.base import ViewedLink
from service.repositories.sqlite.engine.batch import Batch, BatchStatement
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.engine.statements import Row

_STATES = get_args(LinkState)

_TIME_IS_UP = "shared_reports.expires_at <= :now"

# The one place that says what becomes of a link. It is dead from `expires_at` on, whether or not
# the background task has been by; once that has deactivated it, it stays dead even if the clock is
# put back.
STATUS = f"""CASE
    WHEN shared_reports.switched_off_at IS NOT NULL THEN 'inactive'
    WHEN NOT shared_reports.is_active OR {_TIME_IS_UP} THEN 'expired'
    WHEN shared_reports.view_count >= shared_reports.max_views THEN 'exhausted'
    WHEN shared_reports.not_before > :now THEN 'scheduled'
    ELSE 'active' END"""


def _given(column: str) -> str:
    """A column's new value where the terms say one, null included, else the one it has."""
    return f"""CASE WHEN json_type(:terms, '$.{column}') IS NULL THEN {column}
               ELSE :terms ->> '$.{column}' END AS {column}"""


# `share_hash` stands first: a batch finds its answers by it.
COLUMNS = f"""
    shared_reports.share_hash, shared_reports.id, shared_reports.user_id,
    shared_reports.video_id, shared_reports.expires_at, shared_reports.created_at, {STATUS},
    shared_reports.not_before, shared_reports.max_views, shared_reports.password IS NOT NULL,
    shared_reports.label, shared_reports.modules, shared_reports.view_count,
    shared_reports.last_viewed_at"""

# A key is good for a day.
_IS_KEPT = "created_at > strftime('%Y-%m-%dT%H:%M:%S', :now, '-1 day')"

# A link's status is as of its creation. The statement does not return what its caller knows: each
# value takes 0.1 µs.
_CREATE = BatchStatement(
    "create links",
    "new",
    (
        "share_hash",
        "user_id",
        "video",
        "video_id",
        "expires_at",
        "not_before",
        "max_views",
        "password",
        "label",
        "modules",
        "request_key",
        "request",
        "now",
    ),
    f"""INSERT INTO shared_reports (user_id, video_id, share_hash, created_at, expires_at,
           not_before, max_views, password, label, modules, request_key, request)
    SELECT videos.user_id, videos.id, new.share_hash, new.now, new.expires_at, new.not_before,
           new.max_views, new.password, new.label, new.modules, new.request_key, new.request
      FROM new
      JOIN videos ON videos.user_id = new.user_id AND videos.id = coalesce(
           (SELECT id FROM videos WHERE user_id = new.user_id AND job_id = new.video),
           new.video_id)
     WHERE new.request_key IS NULL OR NOT EXISTS (
           SELECT 1 FROM idempotency_keys
            WHERE user_id = new.user_id AND key = new.request_key
              AND {_IS_KEPT.replace(":now", "new.now")})
        ON CONFLICT (share_hash) DO NOTHING
    RETURNING share_hash, id, video_id, created_at, {STATUS.replace(":now", "created_at")}""",
)

_OF_TERMS = ", ".join(
    f"request ->> '$.terms.{each}' AS {each}"
    for each in ("expires_at", "not_before", "max_views", "password", "label", "modules")
)

# The answer that was given, at the moment at which it was.
_REPLAY = f"""-- replay a creation
    SELECT {COLUMNS.replace(":now", "created_at")}, request ->> '$.once.body'
      FROM (SELECT request, user_id, video_id, created_at, report_id AS id,
                   request ->> 'share_hash' AS share_hash, 1 AS is_active, NULL AS switched_off_at,
                   0 AS view_count, NULL AS last_viewed_at, {_OF_TERMS}
              FROM idempotency_keys
             WHERE user_id = :user_id AND key = :key AND {_IS_KEPT}) AS shared_reports"""

_DELETE_OLD_KEYS = f"""-- forget old keys
    DELETE FROM idempotency_keys WHERE (user_id, key) IN (
           SELECT user_id, key FROM idempotency_keys
            WHERE NOT {_IS_KEPT} ORDER BY created_at LIMIT :limit)"""

_EXISTS = """-- look for a share hash
    SELECT 1 FROM shared_reports WHERE share_hash = :share_hash"""

# A PublicReport as JSON. Modules that a link does not show are not named either. Names that both
# lists have are found by sorting: `IN (SELECT …)` would read one list anew for each name of the
# other, 21 ms for 500 modules and 200 of them shown; this takes 0.3 ms.
PUBLIC_REPORT = """
    CAST('{"share_hash":"' || shared_reports.share_hash || '","video":' ||
         CASE WHEN shared_reports.modules IS NULL THEN videos.public ELSE (
              SELECT json_set(videos.public, '$.modules', json_group_array(value)) FROM (
                     SELECT value FROM (
                            SELECT key, value FROM json_each(videos.modules)
                             UNION ALL
                            SELECT NULL, value FROM json_each(shared_reports.modules))
                      GROUP BY value HAVING count(*) > 1 ORDER BY max(key))) END ||
         ',"created_at":"' || shared_reports.created_at || '"}' AS BLOB)"""

# The next moment at which time alone changes a link's status.
_UNTIL = """CASE WHEN shared_reports.not_before > :now THEN shared_reports.not_before
    ELSE shared_reports.expires_at END"""

# Of a link that asks for something it is told only that: see openings.
_VIEW = f"""-- view a link
    SELECT {_UNTIL}, CASE WHEN coalesce(shared_reports.max_views, shared_reports.password) IS NULL
           THEN {STATUS} ELSE 'protected' END, shared_reports.expires_at, shared_reports.id,
           {PUBLIC_REPORT}
      FROM shared_reports JOIN videos ON videos.id = shared_reports.video_id
     WHERE shared_reports.share_hash = :key"""

_VIEW_WHOLE = f"""-- view a link's analysis
    SELECT shared_reports.id, shared_reports.modules,
           coalesce(shared_reports.max_views, shared_reports.password) IS NULL,
           shared_reports.expires_at, {PUBLIC_REPORT},
           CAST(videos.segments AS BLOB)
      FROM shared_reports JOIN videos ON videos.id = shared_reports.video_id
     WHERE shared_reports.share_hash = :share_hash"""

_RECORD_VIEWS = """-- record views
    UPDATE shared_reports
       SET view_count = view_count + (viewed.value ->> 0), last_viewed_at = viewed.value ->> 1
      FROM json_each(:viewed) AS viewed
     WHERE shared_reports.id = viewed.key"""

# A user's link as it would be under new terms.
_CHANGED = f"""
      WITH changed AS (
           SELECT id, view_count, {_given("expires_at")}, {_given("not_before")},
                  {_given("label")}, {_given("modules")},
                  CASE WHEN json_type(:terms, '$.expires_at') IS NULL THEN is_active
                       ELSE 1 END AS is_active, {_given("max_views")}, {_given("password")},
                  CASE :terms ->> '$.is_active' WHEN 1 THEN NULL
                       WHEN 0 THEN coalesce(switched_off_at, :now)
                       ELSE switched_off_at END AS switched_off_at,
                  CASE WHEN json_type(:terms, '$.max_views') IS NULL THEN limited_at
                       ELSE :now END AS limited_at,
                  :terms ->> '$.is_active' IS 1 AS is_wanted
             FROM shared_reports WHERE id = :id AND user_id = :user_id)"""
_CHANGED_STATUS = STATUS.replace("shared_reports.", "changed.")
_ORDERED = "(changed.not_before >= changed.expires_at) IS NOT TRUE"

_CHANGE = f"""-- change a link
    {_CHANGED}
    UPDATE shared_reports
       SET expires_at = changed.expires_at, not_before = changed.not_before,
           max_views = changed.max_views, password = changed.password,
           label = changed.label, modules = changed.modules, is_active = changed.is_active,
           switched_off_at = changed.switched_off_at, limited_at = changed.limited_at
      FROM changed
     WHERE shared_reports.id = changed.id AND {_ORDERED}
       AND NOT (changed.is_wanted AND {_CHANGED_STATUS} IN ('expired', 'exhausted'))
    RETURNING {COLUMNS}"""

_EXPLAIN = f"""-- explain why a link was not changed
    {_CHANGED}
    SELECT {_ORDERED}, {_CHANGED_STATUS}, changed.expires_at FROM changed"""

_ROTATE = f"""-- rotate a link
    UPDATE OR IGNORE shared_reports SET share_hash = :share_hash
     WHERE id = :id AND user_id = :user_id AND share_hash <> :share_hash
    RETURNING {COLUMNS}"""

_REVOKE = BatchStatement(
    "revoke links",
    "revoked",
    ("id", "user_id"),
    """DELETE FROM shared_reports WHERE id IN (
           SELECT theirs.id FROM revoked JOIN shared_reports AS theirs
               ON theirs.id = revoked.id AND theirs.user_id = revoked.user_id)
    RETURNING id""",
)

_REVOKE_ALL = """-- revoke a video's links
    DELETE FROM shared_reports WHERE video_id = (
           SELECT id FROM videos WHERE user_id = :user_id AND job_id = :job_id)"""

_HAS_VIDEO = """-- look for a video
    SELECT 1 FROM videos WHERE user_id = :user_id AND job_id = :job_id"""

_SWEEP = f"""-- deactivate expired links
    UPDATE shared_reports SET is_active = 0 WHERE id IN (
           SELECT id FROM shared_reports
            WHERE is_active = 1 AND {_TIME_IS_UP}
            ORDER BY expires_at LIMIT :limit)"""

_COUNT_EXPIRED = f"""-- count expired links
    SELECT count(*) FROM shared_reports WHERE is_active = 1 AND {_TIME_IS_UP}"""

# Reads every row: 60 ms for a million links.
_COUNT_BY_STATE = f"""-- count links by state
    SELECT {", ".join(f"count(*) FILTER (WHERE {STATUS} = '{state}')" for state in _STATES)},
           min(expires_at) FILTER (WHERE is_active = 1 AND {_TIME_IS_UP})
      FROM shared_reports"""

_NEXT_EXPIRY = """-- find the next expiry
    SELECT min(expires_at) FROM shared_reports WHERE is_active = 1 AND expires_at IS NOT NULL"""

_REVOKES: Batch[tuple[int, str]] = Batch(_REVOKE, list)

_read_modules = msgspec.json.Decoder(tuple[str, ...]).decode
_read_report = msgspec.json.Decoder(PublicReport).decode


class SqliteLinks:
    """The table of links: see ``base.LinkRepository``."""

    def __init__(self, database: Database, now: Now) -> None:
        self._reader, self._read_worker = database.reader, database.read_worker
        self._writer = database.writer
        self._now = now
        self._create: Batch[tuple[object, ...]] = Batch(_CREATE, self._rows)

    async def insert(
        self,
        share_hash: str,
        user_id: str,
        video: str,
        settings: LinkSettings,
        record: IdempotencyRecord | None = None,
    ) -> SharedReport | None:
        """Store a new link: see ``base.LinkRepository.insert``."""
        if record is None:
            new = _new(share_hash, user_id, video, settings)
            row = await self._writer.submit(self._create, share_hash, new)
        else:
            request = {"share_hash": share_hash, "terms": settings, "once": record}
            new = _new(share_hash, user_id, video, settings, (record.key, _encoded(request)))
            # Exclusive: the next call with its key has to see that it was there.
            row = await self._writer.submit(self._create, share_hash, new, exclusive=True)
        return None if row is None else _created(row, user_id, settings)

    async def has_share_hash(self, share_hash: str) -> bool:
        """Return whether a link has this hash."""
        return bool(self._reader.fetch_all(_EXISTS, share_hash=share_hash))

    async def find_creation(self, user_id: str, key: str) -> tuple[SharedReport, str] | None:
        """Return the link that a call with this idempotency key created, and its body's digest."""
        rows = self._reader.fetch_all(_REPLAY, user_id=user_id, key=key, now=self._now())
        if not rows:
            return None
        [(*row, body)] = rows
        return shared_report(tuple(row)), body

    async def find_view(self, share_hash: str, now: str) -> ViewedLink | None:
        """Return a link as a view needs it, from the row cache if it is there."""
        return cast("ViewedLink | None", self._reader.get_cached(_VIEW, share_hash, now))

    async def find_report(self, share_hash: str) -> ReportWithAnalysis | None:
        """Return a link's report with the whole analysis, also of modules it does not show."""
        rows = await self._read_worker.fetch_all(_VIEW_WHOLE, share_hash=share_hash)
        if not rows:
            return None
        [(link_id, modules, is_open, expires_at, report, segments)] = rows
        link = Link(link_id, modules, bool(is_open))
        return ReportWithAnalysis(link, _read_report(report).video, expires_at, segments)

    async def add_views(self, views: Mapping[int, tuple[int, str]]) -> None:
        """Add views to links, by id: how many, and the time of the latest."""
        await self._writer.fetch_all(_RECORD_VIEWS, viewed=lambda: _encoded(views))

    async def change(self, user_id: str, report_id: str, settings: LinkSettings) -> SharedReport:
        """Change a user's link: see ``base.LinkRepository.change``."""
        parameters = {"user_id": user_id, "id": row_id(report_id), "terms": _encoded(settings)}
        rows = await self._writer.fetch_all(_CHANGE, **parameters, now=self._now)
        if not rows:
            raise _refusal(self._reader.fetch_all(_EXPLAIN, **parameters, now=self._now()))
        return shared_report(rows[0])

    async def rotate(self, user_id: str, report_id: str, share_hash: str) -> SharedReport | None:
        """Give a user's link a new hash. Return None if the hash is taken or there is no link."""
        rows = await self._writer.fetch_all(
            _ROTATE, user_id=user_id, id=row_id(report_id), share_hash=share_hash, now=self._now
        )
        return shared_report(rows[0]) if rows else None

    async def delete(self, user_id: str, report_id: str) -> bool:
        """Delete a user's link. Return whether there was one."""
        link_id = row_id(report_id) or 0
        return await self._writer.submit(_REVOKES, link_id, (link_id, user_id)) is not None

    async def delete_of_video(self, user_id: str, job_id: str) -> int:
        """Delete all links of a user's video. Return how many. Raises NotFoundError."""
        count = await self._writer.execute(_REVOKE_ALL, user_id=user_id, job_id=job_id)
        if not count and not self._reader.fetch_all(_HAS_VIDEO, user_id=user_id, job_id=job_id):
            raise NotFoundError("No such video.")
        return count

    async def deactivate_expired(self, limit: int) -> int:
        """Deactivate up to ``limit`` expired links. Return how many; 0 if none is left."""
        return await self._writer.execute(_SWEEP, now=self._now, limit=limit)

    async def delete_old_keys(self, limit: int) -> int:
        """Delete up to ``limit`` idempotency keys older than a day. Return how many."""
        return await self._writer.execute(_DELETE_OLD_KEYS, now=self._now, limit=limit)

    async def count_expired(self) -> int:
        """Return how many expired links are still to be deactivated."""
        return int((await self._read_worker.fetch_all(_COUNT_EXPIRED, now=self._now))[0][0])

    async def count_by_status(self) -> LinkCounts:
        """Return how many links there are in each status."""
        return LinkCounts(*(await self._read_worker.fetch_all(_COUNT_BY_STATE, now=self._now))[0])

    async def next_expiry(self) -> str | None:
        """Return the earliest time at which an active link expires."""
        expiry: str | None = self._reader.fetch_all(_NEXT_EXPIRY)[0][0]
        return expiry

    def _rows(self, new: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
        now = self._now()
        return [(*row, now) for row in new]


def _encoded(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _refusal(rows: list[Row]) -> ServiceError:
    """Why a link was not changed: ``is ordered, status, expires_at`` as it would have been."""
    if not rows:
        return NotFoundError("No such shared report.")
    [(is_ordered, status, expires_at)] = rows
    if not is_ordered:
        return InvalidError("`not_before` is not before `expires_at`.")
    if status == "exhausted":
        return ConflictError("This link's views are used up: it needs more `max_views`, too.")
    return ConflictError(
        f"This link expired at {expires_at} (UTC): it needs a new `expires_at`, too."
    )


def _new(
    share_hash: str,
    user_id: str,
    video: str,
    terms: LinkSettings,
    idempotency_record: tuple[Any, Any] = (None, None),
) -> tuple[object, ...]:
    """The values of a new link, in the order of _CREATE's columns."""
    return (
        share_hash,
        user_id,
        video,
        row_id(video),
        terms.expires_at or None,
        terms.not_before or None,
        terms.max_views or None,
        terms.password or None,
        None if terms.label is UNSET else terms.label,
        _encoded(terms.modules) if isinstance(terms.modules, tuple) else None,
        *idempotency_record,
    )


def _created(row: Row, user_id: str, terms: LinkSettings) -> SharedReport:
    """The link that was just made for a user under these terms."""
    share_hash, report_id, video_id, created_at, status = row
    return SharedReport(
        id=str(report_id),
        user_id=user_id,
        video_id=str(video_id),
        share_hash=share_hash,
        expires_at=terms.expires_at or None,
        is_active=1 if status in ACTIVE_STATES else 0,
        created_at=created_at,
        status=status,
        not_before=terms.not_before or None,
        max_views=terms.max_views or None,
        has_password=1 if terms.password else 0,
        label=None if terms.label is UNSET else terms.label,
        modules=None if terms.modules is UNSET else terms.modules,
        view_count=0,
        last_viewed_at=None,
    )


def shared_report(row: Row) -> SharedReport:
    """The link of a row of COLUMNS."""
    share_hash, report_id, user_id, video_id, expires_at, created_at, status, *more = row
    not_before, max_views, has_password, label, modules, view_count, last_viewed_at = more
    return SharedReport(
        id=str(report_id),
        user_id=user_id,
        video_id=str(video_id),
        share_hash=share_hash,
        expires_at=expires_at,
        is_active=1 if status in ACTIVE_STATES else 0,
        created_at=created_at,
        status=status,
        not_before=not_before,
        max_views=max_views,
        has_password=has_password,
        label=label,
        modules=None if modules is None else _read_modules(modules),
        view_count=view_count,
        last_viewed_at=last_viewed_at,
    )
