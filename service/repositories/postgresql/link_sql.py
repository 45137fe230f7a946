"""SQL on the table ``shared_reports``: its status, its column lists and its statements.

The column lists come from the field names of ``LinkSettings`` and ``SharedReport``, so a new field
of a link needs no edit here, unless its column is not text.
"""

from service.repositories.link_mapping import REPORT_FIELDS, SETTING_COLUMNS
from service.repositories.postgresql.engine.statements import NOW, NOW_SECOND, read, write
from service.repositories.postgresql.revocations import not_revoked
from service.repositories.postgresql.statistics import counted

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
    f"""-- record views
      WITH viewed AS (
           SELECT * FROM unnest(:ids::bigint[], :api::bigint[], :pages::bigint[], :bots::bigint[],
                                :downloads::bigint[], :failed_passwords::bigint[],
                                :first::timestamptz[], :latest::timestamptz[])
               AS viewed (id, api, pages, bots, downloads, failed_passwords, first, latest)),
           locked AS MATERIALIZED (
           SELECT id, video_id, view_count FROM shared_reports WHERE id = ANY(:ids::bigint[])
            ORDER BY id FOR NO KEY UPDATE),
           {
        counted('''SELECT locked.video_id, viewed.id, :hour::integer AS hour, api, pages, bots,
                  downloads, failed_passwords,
                  CASE WHEN locked.view_count = 0 THEN first END AS first, latest
             FROM viewed JOIN locked ON locked.id = viewed.id''')
    }
    UPDATE shared_reports
       SET view_count = shared_reports.view_count + viewed.api + viewed.pages,
           page_view_count = shared_reports.page_view_count + viewed.pages,
           bot_view_count = shared_reports.bot_view_count + viewed.bots,
           download_count = shared_reports.download_count + viewed.downloads,
           failed_password_count = shared_reports.failed_password_count + viewed.failed_passwords,
           first_viewed_at = CASE WHEN shared_reports.view_count = 0 THEN viewed.first
                             ELSE shared_reports.first_viewed_at END,
           last_viewed_at = greatest(shared_reports.last_viewed_at, viewed.latest)
      FROM viewed JOIN locked ON locked.id = viewed.id
     WHERE shared_reports.id = viewed.id"""
)


def _new_value(column: str) -> str:
    """Return the expression for a column's new value: the given one, null included, or the old."""
    return f"""CASE WHEN :sets_{column}::boolean THEN :{column}::{type_of(column)}
               ELSE {column} END"""


def _changed(lock: str) -> str:
    """Return a user's link as the settings would leave it.

    ``:api`` to ``:latest`` are the ``Views`` that are not in the row yet. ``access_revision``,
    which access tokens are signed with, grows if a limit comes or goes, or the link is switched
    off; a new value of a limit leaves it.
    """
    return f"""
      WITH changed AS (
           SELECT id, {", ".join(f"{_new_value(name)} AS {name}" for name in SETTING_COLUMNS)},
                  video_id, view_count = 0 AS is_unviewed,
                  view_count + :api::bigint + :pages::bigint AS view_count,
                  page_view_count + :pages AS page_view_count,
                  bot_view_count + :bots::bigint AS bot_view_count,
                  download_count + :downloads::bigint AS download_count,
                  failed_password_count + :failed_passwords::bigint AS failed_password_count,
                  CASE WHEN view_count = 0 THEN :first::timestamptz ELSE first_viewed_at END
                       AS first_viewed_at,
                  greatest(last_viewed_at, :latest::timestamptz) AS last_viewed_at,
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
                  :is_active IS TRUE AS is_wanted,
                  inactive_since IS NOT NULL AS was_inactive
             FROM shared_reports WHERE id = :id AND user_id = :user_id AND {not_revoked()}
                  {lock})"""


_CHANGED_COLUMNS = (
    *SETTING_COLUMNS,
    "view_count",
    "page_view_count",
    "bot_view_count",
    "download_count",
    "failed_password_count",
    "first_viewed_at",
    "last_viewed_at",
    "is_active",
    "switched_off_at",
    "max_views_changed_at",
    "access_revision",
)
_CHANGED_STATUS = status_sql("changed")
_IS_ORDERED = "(changed.not_before >= changed.expires_at) IS NOT TRUE"

# The row of usage is locked after the link's, and only if there is a quota.
_HAS_ROOM = f"""(:max_links::bigint IS NULL OR NOT changed.was_inactive
           OR {_CHANGED_STATUS} NOT IN ('active', 'scheduled')
           OR (SELECT links FROM usage) < :max_links)"""
_IS_ALLOWED = f"""{_IS_ORDERED}
       AND NOT (changed.is_wanted AND {_CHANGED_STATUS} IN ('expired', 'exhausted'))
       AND {_HAS_ROOM}"""

CHANGE = write(
    f"""-- change a link
    {_changed("FOR NO KEY UPDATE")},
           usage AS MATERIALIZED (
           SELECT links FROM user_usage WHERE user_id IN (
                  SELECT :user_id::text FROM changed WHERE :max_links::bigint IS NOT NULL)
              FOR NO KEY UPDATE),
           {
        counted(f'''SELECT video_id, id, :hour::integer AS hour, :api AS api, :pages AS pages,
                  :bots AS bots, :downloads AS downloads, :failed_passwords AS failed_passwords,
                  CASE WHEN is_unviewed THEN :first END AS first, :latest AS latest
             FROM changed WHERE {_IS_ALLOWED}''')
    }
    UPDATE shared_reports
       SET {", ".join(f"{name} = changed.{name}" for name in _CHANGED_COLUMNS)}
      FROM changed
     WHERE shared_reports.id = changed.id AND {_IS_ALLOWED}
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
