ALTER TABLE idempotency_keys ADD COLUMN expires_at TEXT;

DROP TRIGGER shared_reports_remember;

CREATE TRIGGER shared_reports_remember AFTER INSERT ON shared_reports
    WHEN new.request_key IS NOT NULL
BEGIN
    INSERT INTO idempotency_keys
           (user_id, key, request_digest, share_hash, report_id, video_id, created_at,
            expires_at)
    VALUES (new.user_id, new.request_key, new.request_digest, new.share_hash, new.id,
            new.video_id, new.created_at, new.expires_at)
        ON CONFLICT (user_id, key) DO UPDATE
       SET request_digest = excluded.request_digest, share_hash = excluded.share_hash,
           report_id = excluded.report_id, video_id = excluded.video_id,
           created_at = excluded.created_at, expires_at = excluded.expires_at;
    UPDATE shared_reports SET request_key = NULL, request_digest = NULL WHERE id = new.id;
END;

CREATE TABLE user_usage (
    user_id TEXT    PRIMARY KEY,
    links   INTEGER NOT NULL,
    videos  INTEGER NOT NULL,
    bytes   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER shared_reports_made AFTER INSERT ON shared_reports WHEN new.inactive_since IS NULL
BEGIN
    INSERT INTO user_usage VALUES (new.user_id, 1, 0, 0)
        ON CONFLICT (user_id) DO UPDATE SET links = links + 1;
END;

CREATE TRIGGER shared_reports_ended AFTER UPDATE OF
    expires_at, is_active, max_views, view_count, switched_off_at, max_views_changed_at
    ON shared_reports
    WHEN (new.inactive_since IS NULL) <> (old.inactive_since IS NULL)
BEGIN
    UPDATE user_usage
       SET links = links + (new.inactive_since IS NULL) - (old.inactive_since IS NULL)
     WHERE user_id = new.user_id;
END;

CREATE TRIGGER shared_reports_gone AFTER DELETE ON shared_reports WHEN old.inactive_since IS NULL
BEGIN UPDATE user_usage SET links = links - 1 WHERE user_id = old.user_id; END;

CREATE TRIGGER videos_made AFTER INSERT ON videos
BEGIN
    INSERT INTO user_usage VALUES (new.user_id, 0, 1,
           CASE WHEN new.analysis_id IS NULL THEN length(CAST(new.segments AS BLOB))
           ELSE (SELECT sum(length(data)) FROM analysis_parts WHERE analysis_id = new.analysis_id) END)
        ON CONFLICT (user_id) DO UPDATE
       SET videos = videos + 1, bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER videos_resized AFTER UPDATE OF user_id, segments, analysis_id ON videos
BEGIN
    UPDATE user_usage SET videos = videos - (new.user_id = 'deleted'), bytes = bytes
           + CASE WHEN new.analysis_id IS NULL THEN length(CAST(new.segments AS BLOB))
           ELSE (SELECT sum(length(data)) FROM analysis_parts WHERE analysis_id = new.analysis_id) END * (new.user_id <> 'deleted')
           - CASE WHEN old.analysis_id IS NULL THEN length(CAST(old.segments AS BLOB))
           ELSE (SELECT sum(length(data)) FROM analysis_parts WHERE analysis_id = old.analysis_id) END
     WHERE user_id = old.user_id;
END;

CREATE TRIGGER videos_gone AFTER DELETE ON videos WHEN old.user_id <> 'deleted'
BEGIN
    UPDATE user_usage SET videos = videos - 1, bytes = bytes
           - CASE WHEN old.analysis_id IS NULL THEN length(CAST(old.segments AS BLOB))
           ELSE (SELECT sum(length(data)) FROM analysis_parts WHERE analysis_id = old.analysis_id) END
     WHERE user_id = old.user_id;
END;

INSERT INTO user_usage
SELECT user_id, 0, count(*), sum(CASE WHEN videos.analysis_id IS NULL THEN length(CAST(videos.segments AS BLOB))
           ELSE (SELECT sum(length(data)) FROM analysis_parts WHERE analysis_parts.analysis_id = videos.analysis_id) END)
  FROM videos WHERE user_id <> 'deleted' GROUP BY user_id;

INSERT INTO user_usage
SELECT user_id, count(*), 0, 0
  FROM shared_reports WHERE inactive_since IS NULL GROUP BY user_id
    ON CONFLICT (user_id) DO UPDATE SET links = excluded.links;
