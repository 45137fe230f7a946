"""SQL on the table ``shared_reports``: its status, its column lists and its statements.

The column lists come from the field names of ``LinkSettings`` and ``SharedReport``, so a new field
of a link needs no edit here, unless its column is not text.
"""

from service.repositories.link_mapping import REPORT_FIELDS, SETTING_COLUMNS
from service.repositories.postgresql.engine.statements import NOW, NOW_SECOND, read, write
from service.repositories.postgresql.revocations import not_revoked

_TYPES = {"expires_at": "timestamptz", "not_before": "timestamptz", "max_views": "bigint"}
"""Types of the columns of settings that are not text."""


def status_sql(table: str, now: str = NOW) -> str:
    """Return the expression for a link's status: the only SQL that decides it.

    A link is expired from ``expires_at`` on, whether or not the background task has deactivated it;
    a deactivated link stays expired even if the clock is set back.
    """
    return f"""CASE
    WHEN {table}.switched_off_at IS NOT NULL THEN 'inactive'
    WHEN NOT {table}.is_active OR {table}.expires_at <= {now} THEN 'expired'
    WHEN {table}.view_count >= {table}.max_views THEN 'exhausted'
    WHEN {table}.not_before > {now} THEN 'scheduled'
    ELSE 'active' END"""


def report_columns(table: str = "shared_reports", now: str = NOW) -> str:
    """Return the columns of a SharedReport, in the order of REPORT_FIELDS."""
    computed = {
        "status": status_sql(table, now),
        "has_password": f"({table}.password IS NOT NULL)::integer",
    }
    return ", ".join(computed.get(name, f"{table}.{name}") for name in REPORT_FIELDS)


def type_of(column: str) -> str:
    """Return the SQL type of a setting's column."""
    return _TYPES.get(column, "text")


def _is_old(now: str) -> str:
    """Return the condition for an idempotency key to be forgotten: after a day."""
    return f"idempotency_keys.created_at <= {now} - interval '1 day'"


_IS_KNOWN = f"""NOT {_is_old(NOW)} AND EXISTS (
                   SELECT 1 FROM videos WHERE videos.id = idempotency_keys.video_id
                      AND videos.user_id = idempotency_keys.user_id)"""
"""The condition for an idempotency key to be known: for a day, and with its video."""

_NEW_COLUMNS = {
    "share_hash": "text",
    "user_id": "text",
    "video": "text",
    "video_id": "bigint",
    **{name: type_of(name) for name in SETTING_COLUMNS},
}
"""What ``link_rows.new_row`` has, in its order, with types."""

NEW_NAMES = tuple(_NEW_COLUMNS)

_NEW_ARRAYS = ", ".join(f":{name}::{sql_type}[]" for name, sql_type in _NEW_COLUMNS.items())

_FOUND_VIDEOS = f"""
      WITH new AS (
           SELECT * FROM unnest({_NEW_ARRAYS})
               AS new ({", ".join(_NEW_COLUMNS)})),
           theirs AS (
           SELECT new.share_hash, videos.id AS video_id
             FROM new JOIN videos ON videos.user_id = new.user_id AND videos.id = coalesce(
                  (SELECT id FROM videos WHERE user_id = new.user_id AND job_id = new.video),
                  new.video_id)
            WHERE NOT EXISTS (
                  SELECT 1 FROM videos AS other
                   WHERE other.id = new.video_id AND other.user_id = new.user_id
                     AND other.id <> videos.id)
              FOR KEY SHARE OF videos)"""
"""``theirs``: the video of each new link, unless it has none or two. Until the links are stored, no
video among them is deleted: one that is deleted just before is none any more."""

_COLUMNS_OF_SETTINGS = ", ".join(SETTING_COLUMNS)
_NEW_SETTINGS = ", ".join(f"new.{name}" for name in SETTING_COLUMNS)

# The statement returns only what its caller does not know.
CREATE = write(
    f"""-- create links
    {_FOUND_VIDEOS}
    INSERT INTO shared_reports (user_id, video_id, share_hash, created_at, {_COLUMNS_OF_SETTINGS})
    SELECT new.user_id, theirs.video_id, new.share_hash, {NOW_SECOND}, {_NEW_SETTINGS}
      FROM new JOIN theirs ON theirs.share_hash = new.share_hash
        ON CONFLICT (share_hash) DO NOTHING
    RETURNING share_hash, id, video_id, created_at"""
)

# One link, with its idempotency key. If another instance is storing the same key, the first CTE
# that writes waits for it and returns no row, and so there is no second link. A taken hash fails
# the statement as a whole: DuplicateError.
CREATE_ONCE = write(
    f"""-- create a link once
    {_FOUND_VIDEOS},
           numbered AS (
           SELECT *, nextval(pg_get_serial_sequence('shared_reports', 'id')) AS id FROM theirs),
           remembered AS (
           INSERT INTO idempotency_keys
                  (user_id, key, request_digest, share_hash, report_id, video_id, created_at)
           SELECT new.user_id, :request_key::text, :request_digest::text, new.share_hash,
                  numbered.id, numbered.video_id, {NOW_SECOND}
             FROM new JOIN numbered ON numbered.share_hash = new.share_hash
               ON CONFLICT (user_id, key) DO UPDATE
              SET request_digest = excluded.request_digest, share_hash = excluded.share_hash,
                  report_id = excluded.report_id, video_id = excluded.video_id,
                  created_at = excluded.created_at
            WHERE NOT ({_IS_KNOWN})
           RETURNING report_id, video_id, created_at)
    INSERT INTO shared_reports
           (id, user_id, video_id, share_hash, created_at, {_COLUMNS_OF_SETTINGS})
    SELECT remembered.report_id, new.user_id, remembered.video_id, new.share_hash,
           remembered.created_at, {_NEW_SETTINGS}
      FROM new CROSS JOIN remembered
    RETURNING share_hash, id, video_id, created_at"""
)

FIND_CREATED = read(
    """-- find a created link
    SELECT share_hash, id, video_id, created_at FROM shared_reports
     WHERE share_hash = :share_hash AND user_id = :user_id"""
)

FIND_CREATION = read(
    f"""-- find a creation
    SELECT share_hash, report_id, video_id, created_at, request_digest FROM idempotency_keys
     WHERE user_id = :user_id AND key = :key AND {_IS_KNOWN}"""
)

DELETE_OLD_KEYS = write(
    f"""-- delete old idempotency keys
    DELETE FROM idempotency_keys WHERE (user_id, key) IN (
           SELECT user_id, key FROM idempotency_keys
            WHERE {_is_old(NOW)} ORDER BY created_at LIMIT :limit
              FOR UPDATE SKIP LOCKED)""",
    repeats=True,
)

HAS_SHARE_HASH = read(
    """-- look for a share hash
    SELECT 1 FROM shared_reports WHERE share_hash = :share_hash"""
)

PUBLIC_REPORT_COLUMNS = """shared_reports.share_hash, shared_reports.created_at,
           videos.id, videos.public_fields_json, videos.created_at, videos.updated_at,
           videos.modules, shared_reports.modules"""
"""What ``link_rows.report_json`` makes a report of, in its order."""

REQUIRES_NOTHING = "coalesce(shared_reports.max_views::text, shared_reports.password) IS NULL"

LINK_COLUMNS = f"""shared_reports.id, shared_reports.share_hash, shared_reports.modules,
           {REQUIRES_NOTHING}, shared_reports.expires_at, shared_reports.sender,
           videos.id, videos.revision, videos.updated_at"""
"""What ``link_rows.link_of`` makes a Link of, in its order."""

DEADLINE = f""":sent_at::double precision
           + extract(epoch FROM shared_reports.expires_at - {NOW})::double precision"""
"""When the link expires, on the clock that says when the statement was sent; NULL for never.

So the clocks of two machines are never compared."""

OF_A_LIVING_VIDEO = f"""videos.user_id = shared_reports.user_id AND {not_revoked()}"""
"""The condition for a link to be there: a deleted video has lost its user."""

VIEW = read(
    f"""-- view links
    SELECT shared_reports.share_hash, {DEADLINE},
           CASE WHEN {REQUIRES_NOTHING} THEN {status_sql("shared_reports")}
           ELSE 'protected' END,
           shared_reports.expires_at, shared_reports.id, {PUBLIC_REPORT_COLUMNS}
      FROM shared_reports JOIN videos ON videos.id = shared_reports.video_id
     WHERE shared_reports.share_hash = ANY(:share_hashes::text[]) AND {OF_A_LIVING_VIDEO}"""
)

VIEW_WITH_ANALYSIS = read(
    f"""-- view a link's analysis
    SELECT {LINK_COLUMNS}, videos.segments, {PUBLIC_REPORT_COLUMNS}
      FROM shared_reports JOIN videos ON videos.id = shared_reports.video_id
     WHERE shared_reports.share_hash = :share_hash AND {OF_A_LIVING_VIDEO}"""
)

# Locked in the order of their ids first: two statements that add views to the same links in
# different orders would be a deadlock.
ADD_VIEWS = write(
    """-- record views
      WITH viewed AS (
           SELECT * FROM unnest(:ids::bigint[], :people::bigint[], :bots::bigint[],
                                :times::timestamptz[]) AS viewed (id, people, bots, at)),
           locked AS MATERIALIZED (
           SELECT id FROM shared_reports WHERE id = ANY(:ids::bigint[])
            ORDER BY id FOR NO KEY UPDATE)
    UPDATE shared_reports
       SET view_count = shared_reports.view_count + viewed.people,
           bot_view_count = shared_reports.bot_view_count + viewed.bots,
           last_viewed_at = greatest(shared_reports.last_viewed_at, viewed.at)
      FROM viewed JOIN locked ON locked.id = viewed.id
     WHERE shared_reports.id = viewed.id"""
)


def _new_value(column: str) -> str:
    """Return the expression for a column's new value: the given one, null included, or the old."""
    return f"""CASE WHEN :sets_{column}::boolean THEN :{column}::{type_of(column)}
               ELSE {column} END"""


def _changed(lock: str) -> str:
    """Return a user's link as the settings would leave it.

    ``:views``, ``:bot_views`` and ``:viewed_at`` are those that are not in the row yet.
    ``access_revision``, which access tokens are signed with, grows if a limit comes or goes, or the
    link is switched off; a new value of a limit leaves it.
    """
    return f"""
      WITH changed AS (
           SELECT id, {", ".join(f"{_new_value(name)} AS {name}" for name in SETTING_COLUMNS)},
                  view_count + :views::bigint AS view_count,
                  bot_view_count + :bot_views::bigint AS bot_view_count,
                  greatest(last_viewed_at, :viewed_at::timestamptz) AS last_viewed_at,
                  is_active OR :sets_expires_at AS is_active,
                  CASE WHEN :is_active::boolean IS NULL THEN switched_off_at
                       WHEN :is_active THEN NULL
                       ELSE coalesce(switched_off_at, {NOW_SECOND}) END AS switched_off_at,
                  CASE WHEN :sets_max_views THEN {NOW_SECOND}
                       ELSE max_views_changed_at END AS max_views_changed_at,
                  access_revision
                      + ((max_views IS NULL) <> ({_new_value("max_views")} IS NULL))::integer
                      + (switched_off_at IS NULL AND :is_active IS FALSE)::integer
                       AS access_revision,
                  :is_active IS TRUE AS is_wanted
             FROM shared_reports WHERE id = :id AND user_id = :user_id AND {not_revoked()}
                  {lock})"""


_CHANGED_COLUMNS = (
    *SETTING_COLUMNS,
    "view_count",
    "bot_view_count",
    "last_viewed_at",
    "is_active",
    "switched_off_at",
    "max_views_changed_at",
    "access_revision",
)
_CHANGED_STATUS = status_sql("changed")
_IS_ORDERED = "(changed.not_before >= changed.expires_at) IS NOT TRUE"

CHANGE = write(
    f"""-- change a link
    {_changed("FOR NO KEY UPDATE")}
    UPDATE shared_reports
       SET {", ".join(f"{name} = changed.{name}" for name in _CHANGED_COLUMNS)}
      FROM changed
     WHERE shared_reports.id = changed.id AND {_IS_ORDERED}
       AND NOT (changed.is_wanted AND {_CHANGED_STATUS} IN ('expired', 'exhausted'))
    RETURNING {report_columns()}"""
)

EXPLAIN_CHANGE = read(
    f"""-- explain why a link was not changed
    {_changed("")}
    SELECT {_IS_ORDERED}, {_CHANGED_STATUS}, changed.expires_at FROM changed"""
)

ROTATE = write(
    f"""-- rotate a link
    UPDATE shared_reports SET share_hash = :share_hash
     WHERE id = :id AND user_id = :user_id AND share_hash <> :share_hash AND {not_revoked()}
    RETURNING {report_columns()}"""
)

FIND_ROTATED = read(
    f"""-- find a rotated link
    SELECT {report_columns()} FROM shared_reports
     WHERE id = :id AND user_id = :user_id AND share_hash = :share_hash AND {not_revoked()}"""
)

REVOKE = write(
    f"""-- revoke links
    DELETE FROM shared_reports WHERE id IN (
           SELECT theirs.id
             FROM unnest(:ids::bigint[], :user_ids::text[]) AS revoked (id, user_id)
             JOIN shared_reports AS theirs
               ON theirs.id = revoked.id AND theirs.user_id = revoked.user_id
              AND {not_revoked("theirs")}
            ORDER BY theirs.id FOR UPDATE OF theirs)
    RETURNING id"""
)

FIND_VIDEOS = read(
    """-- find the videos of a name
    SELECT id, job_id FROM videos WHERE user_id = :user_id AND job_id = :video
     UNION
    SELECT id, job_id FROM videos WHERE user_id = :user_id AND id = :video_id::bigint"""
)

FIND_MODULES = read(
    """-- find the modules of a video
    SELECT id, modules FROM videos WHERE user_id = :user_id AND job_id = :video
     UNION
    SELECT id, modules FROM videos WHERE user_id = :user_id AND id = :video_id::bigint"""
)

FIND_MODULES_OF_LINK = read(
    f"""-- find the modules of a link's video
    SELECT videos.modules
      FROM shared_reports JOIN videos ON videos.id = shared_reports.video_id
     WHERE shared_reports.id = :id AND shared_reports.user_id = :user_id AND {not_revoked()}"""
)

_IS_OVERDUE = f"is_active AND expires_at <= {NOW}"

# One instance at a time: the others leave the work to it.
SWEEP = write(
    f"""-- deactivate expired links
      WITH turn AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(:lock::bigint) AS is_ours),
           overdue AS MATERIALIZED (
           SELECT id FROM shared_reports
            WHERE (SELECT is_ours FROM turn) AND {_IS_OVERDUE}
            ORDER BY expires_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED),
           deactivated AS (
           UPDATE shared_reports SET is_active = false FROM overdue
            WHERE shared_reports.id = overdue.id RETURNING 1)
    SELECT is_ours, (SELECT count(*) FROM deactivated) FROM turn""",
    repeats=True,
)

COUNT_EXPIRED = read(
    f"""-- count expired links
    SELECT count(*) FROM shared_reports WHERE {_IS_OVERDUE}"""
)

NEXT_EXPIRY = read(
    """-- find the next expiry
    SELECT min(expires_at) FROM shared_reports WHERE is_active AND expires_at IS NOT NULL"""
)
