ALTER TABLE shared_reports ADD COLUMN not_before TEXT;
ALTER TABLE shared_reports ADD COLUMN max_views INTEGER CHECK (max_views >= 1);
ALTER TABLE shared_reports ADD COLUMN view_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shared_reports ADD COLUMN last_viewed_at TEXT;
ALTER TABLE shared_reports ADD COLUMN password TEXT CHECK (password GLOB 'scrypt$*$*$*$*$*');
ALTER TABLE shared_reports ADD COLUMN label TEXT;
ALTER TABLE shared_reports ADD COLUMN modules TEXT;
ALTER TABLE shared_reports ADD COLUMN switched_off_at TEXT;
ALTER TABLE shared_reports ADD COLUMN limited_at TEXT;

CREATE INDEX videos_by_user ON videos (user_id, id);
CREATE INDEX shared_reports_by_user ON shared_reports (user_id, id);

ALTER TABLE shared_reports ADD COLUMN request_key TEXT;
ALTER TABLE shared_reports ADD COLUMN request TEXT;
ALTER TABLE shared_reports ADD COLUMN opened INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shared_reports ADD COLUMN dead_since TEXT GENERATED ALWAYS AS (nullif(min(
                    ifnull(switched_off_at, '~'),
                    ifnull(CASE WHEN NOT is_active THEN expires_at END, '~'),
                    ifnull(CASE WHEN view_count >= max_views
                           THEN max(last_viewed_at, ifnull(limited_at, last_viewed_at)) END, '~')), '~')) VIRTUAL;

CREATE INDEX shared_reports_by_death ON shared_reports (dead_since) WHERE dead_since IS NOT NULL;

CREATE TABLE idempotency_keys (
    user_id    TEXT    NOT NULL,
    key        TEXT    NOT NULL,                        -- SHA-256 of the key, hex
    request    TEXT    NOT NULL,
    report_id  INTEGER NOT NULL,
    video_id   INTEGER NOT NULL,
    created_at TEXT    NOT NULL,
    PRIMARY KEY (user_id, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE TRIGGER shared_reports_remember AFTER INSERT ON shared_reports
    WHEN new.request_key IS NOT NULL
BEGIN
    INSERT INTO idempotency_keys (user_id, key, request, report_id, video_id, created_at)
    VALUES (new.user_id, new.request_key, new.request, new.id, new.video_id, new.created_at)
        ON CONFLICT (user_id, key) DO UPDATE
       SET request = excluded.request, report_id = excluded.report_id,
           video_id = excluded.video_id, created_at = excluded.created_at;
    UPDATE shared_reports SET request_key = NULL, request = NULL WHERE id = new.id;
END;

-- Ends whenever what a look-up has found before may not be so any more: then `number` grows. Only
-- counting what a link or a key is used does not, and what is new has not been found before.
CREATE TABLE epoch (number INTEGER NOT NULL) STRICT;

INSERT INTO epoch VALUES (0);

CREATE TRIGGER api_keys_changed AFTER UPDATE OF
    id, user_id, name, key_prefix, digest, is_active, created_at ON api_keys
BEGIN UPDATE epoch SET number = number + 1; END;

CREATE TRIGGER api_keys_deleted AFTER DELETE ON api_keys
BEGIN UPDATE epoch SET number = number + 1; END;

CREATE TRIGGER videos_changed AFTER UPDATE ON videos
BEGIN UPDATE epoch SET number = number + 1; END;

CREATE TRIGGER videos_deleted AFTER DELETE ON videos
BEGIN UPDATE epoch SET number = number + 1; END;

CREATE TRIGGER shared_reports_changed AFTER UPDATE OF
    id, user_id, video_id, share_hash, expires_at, is_active, created_at, not_before, max_views,
    password, label, modules, switched_off_at, limited_at ON shared_reports
BEGIN UPDATE epoch SET number = number + 1; END;

CREATE TRIGGER shared_reports_deleted AFTER DELETE ON shared_reports
BEGIN UPDATE epoch SET number = number + 1; END;

-- What tokens of opened links are signed with: one row, made at the first start.
CREATE TABLE signing_key (
    id  INTEGER PRIMARY KEY CHECK (id = 1),
    key BLOB    NOT NULL CHECK (length(key) = 32)
) STRICT;
