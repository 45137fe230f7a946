"""SQL that creates links, with idempotency keys and within quotas."""

from service.repositories.link_mapping import SETTING_COLUMNS
from service.repositories.postgresql.engine.statements import NOW, NOW_SECOND, read, write
from service.repositories.postgresql.link_sql import type_of


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

_NEW = f"""
      WITH new AS (
           SELECT * FROM unnest({_NEW_ARRAYS})
               AS new ({", ".join(_NEW_COLUMNS)}))"""

_NAMED_VIDEOS = """
           SELECT new.share_hash, new.user_id, videos.id AS video_id
             FROM new JOIN videos ON videos.user_id = new.user_id AND videos.id = coalesce(
                  (SELECT id FROM videos WHERE user_id = new.user_id AND job_id = new.video),
                  new.video_id)
            WHERE NOT EXISTS (
                  SELECT 1 FROM videos AS other
                   WHERE other.id = new.video_id AND other.user_id = new.user_id
                     AND other.id <> videos.id)
              FOR KEY SHARE OF videos"""
"""The video of each new link, unless it has none or two. Until the links are stored, no video among
them is deleted: one that is deleted just before is none any more."""

_FOUND_VIDEOS = f"""{_NEW},
           theirs AS ({_NAMED_VIDEOS})"""

# Of the new links of one user, as many are stored as the quota has room for. The row of usage is
# locked, after the videos, and read as it is then: other instances create links, too.
_FOUND_VIDEOS_WITHIN_QUOTA = f"""{_NEW},
           named AS MATERIALIZED ({_NAMED_VIDEOS}),
           usage AS (
           INSERT INTO user_usage AS known
           SELECT user_id, 0, 0, 0 FROM named GROUP BY user_id ORDER BY user_id
               ON CONFLICT (user_id) DO UPDATE SET links = known.links
           RETURNING user_id, links),
           theirs AS (
           SELECT numbered.share_hash, numbered.user_id, numbered.video_id
             FROM (SELECT *, row_number() OVER (PARTITION BY user_id) AS place FROM named)
                  AS numbered
             JOIN usage ON usage.user_id = numbered.user_id
            WHERE numbered.place <= :max_links::bigint - usage.links)"""

_COLUMNS_OF_SETTINGS = ", ".join(SETTING_COLUMNS)
_NEW_SETTINGS = ", ".join(f"new.{name}" for name in SETTING_COLUMNS)

# The statement returns only what its caller does not know.
_CREATE = f"""
    INSERT INTO shared_reports (user_id, video_id, share_hash, created_at, {_COLUMNS_OF_SETTINGS})
    SELECT new.user_id, theirs.video_id, new.share_hash, {NOW_SECOND}, {_NEW_SETTINGS}
      FROM new JOIN theirs ON theirs.share_hash = new.share_hash
        ON CONFLICT (share_hash) DO NOTHING
    RETURNING share_hash, id, video_id, created_at"""

CREATE = write(f"-- create links\n{_FOUND_VIDEOS} {_CREATE}")

CREATE_WITHIN_QUOTA = write(
    f"-- create links within a quota\n{_FOUND_VIDEOS_WITHIN_QUOTA} {_CREATE}"
)

# One link, with its idempotency key. If another instance is storing the same key, the first CTE
# that writes waits for it and returns no row, and so there is no second link. A taken hash fails
# the statement as a whole: DuplicateError.
_CREATE_ONCE = f""",
           identified AS (
           SELECT *, nextval(pg_get_serial_sequence('shared_reports', 'id')) AS id FROM theirs),
           remembered AS (
           INSERT INTO idempotency_keys
                  (user_id, key, request_digest, share_hash, report_id, video_id, created_at,
                   expires_at)
           SELECT new.user_id, :request_key::text, :request_digest::text, new.share_hash,
                  identified.id, identified.video_id, {NOW_SECOND}, new.expires_at
             FROM new JOIN identified ON identified.share_hash = new.share_hash
               ON CONFLICT (user_id, key) DO UPDATE
              SET request_digest = excluded.request_digest, share_hash = excluded.share_hash,
                  report_id = excluded.report_id, video_id = excluded.video_id,
                  created_at = excluded.created_at, expires_at = excluded.expires_at
            WHERE NOT ({_IS_KNOWN})
           RETURNING report_id, video_id, created_at)
    INSERT INTO shared_reports
           (id, user_id, video_id, share_hash, created_at, {_COLUMNS_OF_SETTINGS})
    SELECT remembered.report_id, new.user_id, remembered.video_id, new.share_hash,
           remembered.created_at, {_NEW_SETTINGS}
      FROM new CROSS JOIN remembered
    RETURNING share_hash, id, video_id, created_at"""

CREATE_ONCE = write(f"-- create a link once\n{_FOUND_VIDEOS} {_CREATE_ONCE}")

CREATE_ONCE_WITHIN_QUOTA = write(
    f"-- create a link once within a quota\n{_FOUND_VIDEOS_WITHIN_QUOTA} {_CREATE_ONCE}"
)

FIND_CREATED = read(
    """-- find a created link
    SELECT share_hash, id, video_id, created_at FROM shared_reports
     WHERE share_hash = :share_hash AND user_id = :user_id"""
)

FIND_CREATION = read(
    f"""-- find a creation
    SELECT share_hash, report_id, video_id, created_at, request_digest, expires_at
      FROM idempotency_keys
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
