"""SQL on the table ``shared_reports``: its status, its column lists and its statements.

The column lists come from the field names of ``LinkSettings`` and ``SharedReport``, so a new field
of a link needs no edit here.
"""

from service.domain.links import SharedReport
from service.repositories.link_mapping import IS_ACTIVE_STATE, REPORT_FIELDS, SETTING_COLUMNS
from service.repositories.sqlite.analyses import ANALYSIS_COLUMNS
from service.repositories.sqlite.engine.batch import BatchStatement
from service.repositories.sqlite.revocations import not_revoked


def status_sql(table: str, now: str) -> str:
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


def report_columns(table: str = "shared_reports", now: str = ":now") -> str:
    """Return the columns of a SharedReport, in the order of REPORT_FIELDS."""
    computed = {
        "status": status_sql(table, now),
        "has_password": f"{table}.password IS NOT NULL",
    }
    return ", ".join(computed.get(name, f"{table}.{name}") for name in REPORT_FIELDS)


def report_json(now: str = ":now") -> str:
    """Return the expression for a SharedReport as JSON, the same bytes as msgspec's."""
    status = status_sql("shared_reports", now)
    computed = {
        "id": "CAST(id AS TEXT)",
        "video_id": "CAST(video_id AS TEXT)",
        "is_active": f"{status} {IS_ACTIVE_STATE}",
        "status": status,
        "has_password": "password IS NOT NULL",
        "modules": "json(modules)",
    }
    members = (f"'{name}', {computed.get(name, name)}" for name in SharedReport.__struct_fields__)
    return f"json_object({', '.join(members)})"


def _new_value(column: str) -> str:
    """Return the expression for a column's new value: the given one, null included, or the old."""
    return f"""CASE WHEN json_type(:settings, '$.{column}') IS NULL THEN {column}
               ELSE :settings ->> '$.{column}' END"""


def _is_old(now: str) -> str:
    """Return the condition for an idempotency key to be forgotten: after a day."""
    return f"created_at <= strftime('%Y-%m-%dT%H:%M:%S', {now}, '-1 day')"


def _is_known(now: str) -> str:
    """Return the condition for an idempotency key to be known: for a day, and with its video."""
    return f"""NOT {_is_old(now)} AND EXISTS (
                   SELECT 1 FROM videos WHERE videos.id = idempotency_keys.video_id
                      AND videos.user_id = idempotency_keys.user_id)"""


_NEW_COLUMNS = (
    "share_hash",
    "user_id",
    "video",
    "video_id",
    *SETTING_COLUMNS,
    "request_key",
    "request_digest",
    "now",
)
_COLUMNS = f"""user_id, video_id, share_hash, created_at, {", ".join(SETTING_COLUMNS)},
           request_key, request_digest"""
_NEW_LINKS = f"""
    SELECT videos.user_id, videos.id AS video_id, new.share_hash, new.now AS created_at,
           {", ".join(f"new.{name}" for name in SETTING_COLUMNS)},
           new.request_key, new.request_digest{{also}}
      FROM new
      JOIN videos ON videos.user_id = new.user_id AND videos.id = coalesce(
           (SELECT id FROM videos WHERE user_id = new.user_id AND job_id = new.video),
           new.video_id)
     WHERE NOT EXISTS (
           SELECT 1 FROM videos AS other
            WHERE other.id = new.video_id AND other.user_id = new.user_id
              AND other.id <> videos.id)
       AND (new.request_key IS NULL OR NOT EXISTS (
           SELECT 1 FROM idempotency_keys
            WHERE user_id = new.user_id AND key = new.request_key
              AND {_is_known("new.now")}))"""
# The statement returns only what its caller does not know: each value takes 0.1 µs.
_STORED = """
        ON CONFLICT (share_hash) DO NOTHING
    RETURNING share_hash, id, video_id, created_at"""

CREATE = BatchStatement(
    "create links",
    "new",
    _NEW_COLUMNS,
    f"INSERT INTO shared_reports ({_COLUMNS}) {_NEW_LINKS.format(also='')} {_STORED}",
)

# Of the new links of one user, as many are stored as the quota has room for.
CREATE_WITHIN_QUOTA = BatchStatement(
    "create links within a quota",
    "new",
    (*_NEW_COLUMNS, "max_links"),
    f"""INSERT INTO shared_reports ({_COLUMNS})
    SELECT {_COLUMNS} FROM ({
        _NEW_LINKS.format(
            also=", new.max_links, row_number() OVER (PARTITION BY videos.user_id) AS place"
        )
    }) AS link
     WHERE place <= max_links
           - ifnull((SELECT links FROM user_usage WHERE user_id = link.user_id), 0) {_STORED}""",
)

FIND_CREATION = f"""-- find a creation
    SELECT share_hash, report_id, video_id, created_at, request_digest, expires_at
      FROM idempotency_keys
     WHERE user_id = :user_id AND key = :key AND {_is_known(":now")}"""

DELETE_OLD_KEYS = f"""-- delete old idempotency keys
    DELETE FROM idempotency_keys WHERE (user_id, key) IN (
           SELECT user_id, key FROM idempotency_keys
            WHERE {_is_old(":now")} ORDER BY created_at LIMIT :limit)"""

HAS_SHARE_HASH = """-- look for a share hash
    SELECT 1 FROM shared_reports WHERE share_hash = :share_hash"""

PUBLIC_REPORT_COLUMNS = """shared_reports.share_hash, shared_reports.created_at,
           videos.public_json, videos.modules, shared_reports.modules"""
"""The parameters of ``public_report_json``, in its order."""


REQUIRES_NOTHING = "coalesce(shared_reports.max_views, shared_reports.password) IS NULL"

LINK_COLUMNS = f"""shared_reports.id, shared_reports.share_hash, shared_reports.modules,
           {REQUIRES_NOTHING}, shared_reports.expires_at,
           videos.id || '.' || videos.revision || '.' || videos.updated_at,
           shared_reports.sender"""
"""The fields of a Link, in its order.

The time is in the version of a video because a restored database counts its revisions anew.
"""

VALID_UNTIL = """CASE WHEN shared_reports.not_before > :now THEN shared_reports.not_before
           ELSE shared_reports.expires_at END"""
"""The next moment at which time alone changes a link's status."""

VIEW = f"""-- view a link
    SELECT {VALID_UNTIL},
           CASE WHEN {REQUIRES_NOTHING} THEN {status_sql("shared_reports", ":now")}
           ELSE 'protected' END,
           shared_reports.expires_at, shared_reports.id, {PUBLIC_REPORT_COLUMNS}
      FROM shared_reports JOIN videos ON videos.id = shared_reports.video_id
     WHERE shared_reports.share_hash = :key AND {not_revoked()}"""

VIEW_WITH_ANALYSIS = f"""-- view a link's analysis
    SELECT {LINK_COLUMNS}, {ANALYSIS_COLUMNS}, {PUBLIC_REPORT_COLUMNS}
      FROM shared_reports JOIN videos ON videos.id = shared_reports.video_id
     WHERE shared_reports.share_hash = :share_hash AND {not_revoked()}"""

# Each value of `:viewed` is a `Views`. The statistics follow by triggers.
ADD_VIEWS = """-- record views
    UPDATE shared_reports
       SET view_count = view_count + (viewed.value ->> 0) + (viewed.value ->> 1),
           page_view_count = page_view_count + (viewed.value ->> 1),
           bot_view_count = bot_view_count + (viewed.value ->> 2),
           download_count = download_count + (viewed.value ->> 3),
           failed_password_count = failed_password_count + (viewed.value ->> 4),
           first_viewed_at = CASE WHEN view_count = 0 THEN viewed.value ->> 5
                             ELSE first_viewed_at END,
           last_viewed_at = ifnull(viewed.value ->> 6, last_viewed_at),
           counted_hour = :hour
      FROM json_each(:viewed) AS viewed
     WHERE shared_reports.id = viewed.key"""

# A user's link as the settings would leave it. `:views` is the `Views` that are not in the row yet,
# or null. `access_revision`, which access tokens are signed with, grows if a limit comes or goes,
# or the link is switched off; a new value of a limit leaves it.
_CHANGED = f"""
      WITH changed AS (
           SELECT id, {", ".join(f"{_new_value(name)} AS {name}" for name in SETTING_COLUMNS)},
                  view_count + ifnull(:views ->> '$[0]', 0) + ifnull(:views ->> '$[1]', 0)
                       AS view_count,
                  page_view_count + ifnull(:views ->> '$[1]', 0) AS page_view_count,
                  bot_view_count + ifnull(:views ->> '$[2]', 0) AS bot_view_count,
                  download_count + ifnull(:views ->> '$[3]', 0) AS download_count,
                  failed_password_count + ifnull(:views ->> '$[4]', 0) AS failed_password_count,
                  CASE WHEN view_count = 0 THEN :views ->> '$[5]' ELSE first_viewed_at END
                       AS first_viewed_at,
                  ifnull(:views ->> '$[6]', last_viewed_at) AS last_viewed_at,
                  :hour AS counted_hour,
                  CASE WHEN json_type(:settings, '$.expires_at') IS NULL THEN is_active
                       ELSE 1 END AS is_active,
                  CASE :settings ->> '$.is_active' WHEN 1 THEN NULL
                       WHEN 0 THEN coalesce(switched_off_at, :now)
                       ELSE switched_off_at END AS switched_off_at,
                  CASE WHEN json_type(:settings, '$.max_views') IS NULL THEN max_views_changed_at
                       ELSE :now END AS max_views_changed_at,
                  access_revision + ((max_views IS NULL) <> ({_new_value("max_views")} IS NULL))
                       + (switched_off_at IS NULL AND :settings ->> '$.is_active' IS 0)
                       AS access_revision,
                  :settings ->> '$.is_active' IS 1 AS is_wanted,
                  inactive_since IS NOT NULL AS was_inactive
             FROM shared_reports WHERE id = :id AND user_id = :user_id AND {not_revoked()})"""
_CHANGED_COLUMNS = (
    *SETTING_COLUMNS,
    "view_count",
    "page_view_count",
    "bot_view_count",
    "download_count",
    "failed_password_count",
    "first_viewed_at",
    "last_viewed_at",
    "counted_hour",
    "is_active",
    "switched_off_at",
    "max_views_changed_at",
    "access_revision",
)
_CHANGED_STATUS = status_sql("changed", ":now")
_IS_ORDERED = "(changed.not_before >= changed.expires_at) IS NOT TRUE"
_HAS_ROOM = f"""(:max_links IS NULL OR NOT changed.was_inactive
           OR {_CHANGED_STATUS} NOT IN ('active', 'scheduled')
           OR (SELECT links FROM user_usage WHERE user_id = :user_id) < :max_links)"""

CHANGE = f"""-- change a link
    {_CHANGED}
    UPDATE shared_reports
       SET {", ".join(f"{name} = changed.{name}" for name in _CHANGED_COLUMNS)}
      FROM changed
     WHERE shared_reports.id = changed.id AND {_IS_ORDERED}
       AND NOT (changed.is_wanted AND {_CHANGED_STATUS} IN ('expired', 'exhausted'))
       AND {_HAS_ROOM}
    RETURNING {report_columns()}"""

EXPLAIN_CHANGE = f"""-- explain why a link was not changed
    {_CHANGED}
    SELECT {_IS_ORDERED}, {_CHANGED_STATUS}, changed.expires_at FROM changed"""

ROTATE = f"""-- rotate a link
    UPDATE OR IGNORE shared_reports SET share_hash = :share_hash
     WHERE id = :id AND user_id = :user_id AND share_hash <> :share_hash AND {not_revoked()}
    RETURNING {report_columns()}"""

REVOKE = BatchStatement(
    "revoke links",
    "revoked",
    ("id", "user_id"),
    f"""DELETE FROM shared_reports WHERE id IN (
           SELECT theirs.id FROM revoked JOIN shared_reports AS theirs
               ON theirs.id = revoked.id AND theirs.user_id = revoked.user_id
              AND {not_revoked("theirs")})
    RETURNING id""",
)

FIND_VIDEOS = """-- find the videos of a name
    SELECT id, job_id FROM videos WHERE user_id = :user_id AND job_id = :video
     UNION
    SELECT id, job_id FROM videos WHERE user_id = :user_id AND id = :video_id"""

FIND_MODULES = """-- find the modules of a video
    SELECT id, modules FROM videos WHERE user_id = :user_id AND job_id = :video
     UNION
    SELECT id, modules FROM videos WHERE user_id = :user_id AND id = :video_id"""

FIND_MODULES_OF_LINK = f"""-- find the modules of a link's video
    SELECT videos.modules
      FROM shared_reports JOIN videos ON videos.id = shared_reports.video_id
     WHERE shared_reports.id = :id AND shared_reports.user_id = :user_id AND {not_revoked()}"""

_IS_OVERDUE = "is_active = 1 AND expires_at <= :now"

SWEEP = f"""-- deactivate expired links
    UPDATE shared_reports SET is_active = 0 WHERE id IN (
           SELECT id FROM shared_reports WHERE {_IS_OVERDUE} ORDER BY expires_at LIMIT :limit)"""

COUNT_EXPIRED = f"""-- count expired links
    SELECT count(*) FROM shared_reports WHERE {_IS_OVERDUE}"""

NEXT_EXPIRY = """-- find the next expiry
    SELECT min(expires_at) FROM shared_reports WHERE is_active = 1 AND expires_at IS NOT NULL"""
