-- The schema of Shared Reports.
--
-- Timestamps are UTC text of whole seconds, 2025-01-15T10:00:00, which sorts as time does. Ids are
-- never reused (AUTOINCREMENT), so the id of a deleted link never names another link.

CREATE TABLE api_keys (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id      TEXT    NOT NULL CHECK (user_id <> ''),
    name         TEXT    NOT NULL,
    key_prefix   TEXT    NOT NULL,
    digest       TEXT    NOT NULL UNIQUE CHECK (length(digest) = 64),  -- SHA-256 of the key, hex
    is_active    INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    last_used_at TEXT,
    created_at   TEXT    NOT NULL
) STRICT;

CREATE INDEX api_keys_by_user ON api_keys (user_id, id);

CREATE TABLE videos (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id           TEXT    NOT NULL CHECK (user_id <> ''),
    job_id            TEXT    NOT NULL CHECK (length(job_id) BETWEEN 1 AND 200),
    project_id        TEXT,
    name              TEXT    NOT NULL,
    status            TEXT    NOT NULL
                      CHECK (status IN ('uploaded', 'queued', 'processing', 'completed', 'failed')),
    selected_insights TEXT    NOT NULL,
    duration          REAL    CHECK (duration >= 0),
    file_size         INTEGER CHECK (file_size >= 0),
    processing_time   REAL    CHECK (processing_time >= 0),
    storage_path      TEXT,
    created_at        TEXT    NOT NULL,
    updated_at        TEXT    NOT NULL,
    revision          INTEGER NOT NULL DEFAULT 1,       -- 1 on creation, one more at each replacement
    modules           TEXT    NOT NULL DEFAULT '[]',    -- JSON array of the module names in segments
    -- The public fields of the video as JSON, made when the video is stored and read by each view.
    -- public_fields_json holds job_id to processing_time as members of a JSON object, without
    -- braces: text is escaped and numbers keep their spelling. public_json is the whole object.
    public_fields_json TEXT   NOT NULL,
    public_json        TEXT   NOT NULL GENERATED ALWAYS AS (
                      '{"id":"' || id || '",' || public_fields_json || ',"created_at":"' || created_at ||
                      '","updated_at":"' || updated_at || '","modules":' || modules || '}') STORED,
    -- The whole analysis as the JSON array of the response, ordered by start time, if it is small:
    -- a replacement is one statement, a read one look-up. It comes after the columns that are read
    -- without it because SQLite does not read past the columns of a query.
    segments          TEXT    NOT NULL DEFAULT '[]',
    analysis_id       INTEGER,                          -- a large analysis; segments is empty then
    UNIQUE (user_id, job_id)
) STRICT;

CREATE INDEX videos_by_user ON videos (user_id, id);

-- Large analyses. A row is written before its parts, and the parts before the video that refers to
-- them. The background task deletes what no video refers to, parts first.
CREATE TABLE analyses (
    id           INTEGER PRIMARY KEY,                   -- random, never used twice
    delete_after TEXT                                   -- NULL while a video has it; '' is at once
) STRICT;

CREATE INDEX analyses_unused ON analyses (delete_after) WHERE delete_after IS NOT NULL;

CREATE TABLE analysis_parts (
    analysis_id INTEGER NOT NULL REFERENCES analyses (id),
    number      INTEGER NOT NULL,                       -- from 0 on
    data        BLOB    NOT NULL,                       -- bytes of the JSON array
    PRIMARY KEY (analysis_id, number)
) STRICT;

CREATE TRIGGER videos_analysis_made AFTER INSERT ON videos WHEN new.analysis_id IS NOT NULL
BEGIN UPDATE analyses SET delete_after = NULL WHERE id = new.analysis_id; END;

CREATE TRIGGER videos_analysis_replaced AFTER UPDATE OF analysis_id ON videos
    WHEN old.analysis_id IS NOT new.analysis_id
BEGIN
    UPDATE analyses SET delete_after = '' WHERE id = old.analysis_id;
    UPDATE analyses SET delete_after = NULL WHERE id = new.analysis_id;
END;

CREATE TRIGGER videos_analysis_deleted AFTER DELETE ON videos WHEN old.analysis_id IS NOT NULL
BEGIN UPDATE analyses SET delete_after = '' WHERE id = old.analysis_id; END;

CREATE TABLE shared_reports (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id    TEXT    NOT NULL,                        -- copied from the video on creation
    video_id   INTEGER NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
    share_hash TEXT    NOT NULL UNIQUE CHECK (share_hash NOT GLOB '*[^A-Za-z0-9]*'),
    expires_at TEXT,
    is_active  INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),  -- 0 once the background task has deactivated it
    created_at TEXT    NOT NULL,
    not_before      TEXT,
    max_views       INTEGER CHECK (max_views >= 1),
    view_count      INTEGER NOT NULL DEFAULT 0,
    last_viewed_at  TEXT,
    password        TEXT CHECK (password GLOB 'scrypt$*$*$*$*$*'),  -- its scrypt digest
    label           TEXT,
    modules         TEXT,                               -- JSON array of the visible modules; NULL: all
    switched_off_at TEXT,                               -- when its owner switched it off; NULL: it is on
    max_views_changed_at TEXT,
    request_key     TEXT,                               -- both are moved to idempotency_keys by a trigger
    request_digest  TEXT,
    granted         INTEGER NOT NULL DEFAULT 0,         -- how many unlocks the latest statement has granted
    -- The earliest time at which the link became inactive; NULL if only its times and the clock can
    -- say whether it is. '~' sorts after every timestamp and stands for a cause that does not apply.
    inactive_since  TEXT GENERATED ALWAYS AS (nullif(min(
                    ifnull(switched_off_at, '~'),
                    ifnull(CASE WHEN NOT is_active THEN expires_at END, '~'),
                    ifnull(CASE WHEN view_count >= max_views
                           THEN max(last_viewed_at, ifnull(max_views_changed_at, last_viewed_at)) END, '~')), '~')) VIRTUAL,
    access_revision INTEGER NOT NULL DEFAULT 0,         -- grows when a limit is set or removed, or the link is switched off; tokens are signed with it
    note            TEXT,
    bot_view_count  INTEGER NOT NULL DEFAULT 0,
    sender          TEXT                                -- shown to viewers
) STRICT;

CREATE INDEX shared_reports_by_user ON shared_reports (user_id, id);
CREATE INDEX shared_reports_by_video ON shared_reports (video_id, id);

-- The links that the background task still has to deactivate, by expiry.
CREATE INDEX shared_reports_by_expiry ON shared_reports (expires_at)
    WHERE is_active = 1 AND expires_at IS NOT NULL;

-- The links that retention deletes, longest inactive first.
CREATE INDEX shared_reports_by_inactivity ON shared_reports (inactive_since)
    WHERE inactive_since IS NOT NULL;

-- Links that were revoked in bulk, or with their video: those of the video with ids up to `last_id`.
-- They are dead from the moment this row is written, and no statement shows them. The background
-- task deletes their rows in batches, and then this row.
CREATE TABLE revocations (
    video_id    INTEGER PRIMARY KEY,
    last_id     INTEGER NOT NULL,
    previous_id INTEGER NOT NULL DEFAULT 0              -- `last_id` before the latest revocation
) STRICT;

-- A deleted video is given to a user that nobody can be, without its content, in one short
-- statement. Its row is deleted after its links' rows.
CREATE TRIGGER videos_hidden AFTER UPDATE OF user_id ON videos WHEN new.user_id = 'deleted'
BEGIN
    INSERT INTO revocations (video_id, last_id)
    VALUES (new.id, ifnull((SELECT max(id) FROM shared_reports WHERE video_id = new.id), 0))
        ON CONFLICT (video_id) DO UPDATE SET last_id = max(last_id, excluded.last_id);
END;

CREATE TRIGGER revocations_done AFTER DELETE ON revocations
BEGIN DELETE FROM videos WHERE id = old.video_id AND user_id = 'deleted'; END;

-- Creations that may be repeated with the same Idempotency-Key, for a day. The repeated call brings
-- the settings again, and request_digest proves that they are the same: none are stored here. A row
-- outlives its link, so that the answer stays the same, and ends with its video.
CREATE TABLE idempotency_keys (
    user_id        TEXT    NOT NULL,
    key            TEXT    NOT NULL,                    -- SHA-256 of the key, hex
    request_digest TEXT    NOT NULL,                    -- HMAC of the body, keyed with the key, hex
    share_hash     TEXT    NOT NULL,
    report_id      INTEGER NOT NULL,
    video_id       INTEGER NOT NULL,
    created_at     TEXT    NOT NULL,
    PRIMARY KEY (user_id, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE INDEX idempotency_keys_by_video ON idempotency_keys (video_id);

-- Stores a link and its key in one statement: no crash can leave one without the other.
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

-- Cache generation. The triggers below increment it on every change that can alter a cached
-- look-up; usage counters and inserts do not.
CREATE TABLE cache_generation (number INTEGER NOT NULL) STRICT;

INSERT INTO cache_generation VALUES (0);

CREATE TRIGGER api_keys_changed AFTER UPDATE OF
    id, user_id, name, key_prefix, digest, is_active, created_at ON api_keys
BEGIN UPDATE cache_generation SET number = number + 1; END;

CREATE TRIGGER api_keys_deleted AFTER DELETE ON api_keys
BEGIN UPDATE cache_generation SET number = number + 1; END;

CREATE TRIGGER videos_changed AFTER UPDATE ON videos
BEGIN UPDATE cache_generation SET number = number + 1; END;

CREATE TRIGGER videos_deleted AFTER DELETE ON videos WHEN old.user_id <> 'deleted'
BEGIN UPDATE cache_generation SET number = number + 1; END;

CREATE TRIGGER shared_reports_changed AFTER UPDATE OF
    id, user_id, video_id, share_hash, expires_at, is_active, created_at, not_before, max_views,
    password, label, modules, switched_off_at, max_views_changed_at, access_revision, note, sender
    ON shared_reports
BEGIN UPDATE cache_generation SET number = number + 1; END;

-- A revoked link is not found any more when its row is deleted.
CREATE TRIGGER shared_reports_deleted AFTER DELETE ON shared_reports
    WHEN NOT EXISTS (SELECT 1 FROM revocations
                      WHERE video_id = old.video_id AND last_id >= old.id)
BEGIN UPDATE cache_generation SET number = number + 1; END;

CREATE TRIGGER revocations_made AFTER INSERT ON revocations
BEGIN UPDATE cache_generation SET number = number + 1; END;

CREATE TRIGGER revocations_changed AFTER UPDATE ON revocations
BEGIN UPDATE cache_generation SET number = number + 1; END;

-- The key that access tokens are signed with: one row, made at the first start.
CREATE TABLE signing_key (
    id  INTEGER PRIMARY KEY CHECK (id = 1),
    key BLOB    NOT NULL CHECK (length(key) = 32)
) STRICT;
