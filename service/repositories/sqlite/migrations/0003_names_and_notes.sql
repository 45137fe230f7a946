DROP TRIGGER shared_reports_remember;
DROP TRIGGER shared_reports_changed;
DROP INDEX shared_reports_by_death;

ALTER TABLE videos RENAME COLUMN shown TO public_fields_json;
ALTER TABLE videos RENAME COLUMN public TO public_json;

ALTER TABLE shared_reports RENAME COLUMN limited_at TO max_views_changed_at;
ALTER TABLE shared_reports RENAME COLUMN request TO request_digest;
ALTER TABLE shared_reports RENAME COLUMN opened TO granted;
ALTER TABLE shared_reports RENAME COLUMN dead_since TO inactive_since;
ALTER TABLE shared_reports ADD COLUMN access_revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shared_reports ADD COLUMN note TEXT;

CREATE INDEX shared_reports_by_inactivity ON shared_reports (inactive_since)
    WHERE inactive_since IS NOT NULL;

ALTER TABLE epoch RENAME TO cache_generation;

-- Keeps of a call what a replay needs beside its body: labels and password digests go.
CREATE TABLE new_idempotency_keys (
    user_id        TEXT    NOT NULL,
    key            TEXT    NOT NULL,
    request_digest TEXT    NOT NULL,
    share_hash     TEXT    NOT NULL,
    report_id      INTEGER NOT NULL,
    video_id       INTEGER NOT NULL,
    created_at     TEXT    NOT NULL,
    PRIMARY KEY (user_id, key)
) STRICT, WITHOUT ROWID;

INSERT INTO new_idempotency_keys
SELECT user_id, key, request ->> '$.once.body', request ->> '$.share_hash', report_id, video_id,
       created_at
  FROM idempotency_keys
 WHERE video_id IN (SELECT id FROM videos);

DROP TABLE idempotency_keys;
ALTER TABLE new_idempotency_keys RENAME TO idempotency_keys;

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE INDEX idempotency_keys_by_video ON idempotency_keys (video_id);

CREATE TRIGGER shared_reports_remember AFTER INSERT ON shared_reports
    WHEN new.request_key IS NOT NULL
BEGIN
    INSERT INTO idempotency_keys
           (user_id, key, request_digest, share_hash, report_id, video_id, created_at)
    VALUES (new.user_id, new.request_key, new.request_digest, new.share_hash, new.id,
            new.video_id, new.created_at)
        ON CONFLICT (user_id, key) DO UPDATE
       SET request_digest = excluded.request_digest, share_hash = excluded.share_hash,
           report_id = excluded.report_id, video_id = excluded.video_id,
           created_at = excluded.created_at;
    UPDATE shared_reports SET request_key = NULL, request_digest = NULL WHERE id = new.id;
END;

CREATE TRIGGER videos_forget AFTER DELETE ON videos
BEGIN DELETE FROM idempotency_keys WHERE video_id = old.id; END;

CREATE TRIGGER shared_reports_changed AFTER UPDATE OF
    id, user_id, video_id, share_hash, expires_at, is_active, created_at, not_before, max_views,
    password, label, modules, switched_off_at, max_views_changed_at, access_revision, note
    ON shared_reports
BEGIN UPDATE cache_generation SET number = number + 1; END;
