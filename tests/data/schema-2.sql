-- The schema of Shared Reports, and its only home.
--
-- Times are UTC text, 2025-01-15T10:00:00: whole seconds, and text that sorts
-- as time does. Ids are never reused (AUTOINCREMENT), so a revoked report's id
-- can never come to name another report.

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
    modules           TEXT    NOT NULL DEFAULT '[]',    -- JSON array of the names found in segments
    -- What the public may see of the video, as it goes out on the wire: each view
    -- of a link asks for it, so it is put together when the video is, not then.
    -- In `shown` stand job_id to processing_time, as members of a JSON object:
    -- their text escaped, their numbers as they were given.
    shown             TEXT    NOT NULL,
    public            TEXT    NOT NULL GENERATED ALWAYS AS (
                      '{"id":"' || id || '",' || shown || ',"created_at":"' || created_at ||
                      '","updated_at":"' || updated_at || '","modules":' || modules || '}') STORED,
    -- The whole analysis as the JSON array that goes out on the wire, ordered by
    -- start time. It is always read and replaced as a whole, so it is one value:
    -- replacing a video is one statement, reading its analysis one look-up. It
    -- stands last because SQLite does not read past the columns a query names.
    segments          TEXT    NOT NULL DEFAULT '[]',
    UNIQUE (user_id, job_id)
) STRICT;

CREATE INDEX videos_by_user ON videos (user_id, id);

CREATE TABLE shared_reports (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id    TEXT    NOT NULL,                        -- always the video's; copied when the link is made
    video_id   INTEGER NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
    share_hash TEXT    NOT NULL UNIQUE CHECK (share_hash NOT GLOB '*[^A-Za-z0-9]*'),
    expires_at TEXT,
    is_active  INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),  -- 0 once the background task has deactivated it
    created_at TEXT    NOT NULL,
    not_before      TEXT,
    max_views       INTEGER CHECK (max_views >= 1),
    view_count      INTEGER NOT NULL DEFAULT 0,
    last_viewed_at  TEXT,
    password        TEXT CHECK (password GLOB 'scrypt$*$*$*$*$*'),  -- never itself: what it is checked against
    label           TEXT,
    modules         TEXT,                               -- JSON array of those the public may see; NULL: all
    switched_off_at TEXT,                               -- by its owner; NULL: it is on
    limited_at      TEXT,                               -- when max_views was changed last
    request_key     TEXT,                               -- both on their way to idempotency_keys
    request         TEXT,
    opened          INTEGER NOT NULL DEFAULT 0,         -- how many of those who asked last it has let in
    -- When it died of what is written here, the earliest of that; NULL while it may be alive. What has
    -- no part in it counts as '~', which is later than any time.
    dead_since      TEXT GENERATED ALWAYS AS (nullif(min(
                    ifnull(switched_off_at, '~'),
                    ifnull(CASE WHEN NOT is_active THEN expires_at END, '~'),
                    ifnull(CASE WHEN view_count >= max_views
                           THEN max(last_viewed_at, ifnull(limited_at, last_viewed_at)) END, '~')), '~')) VIRTUAL
) STRICT;

CREATE INDEX shared_reports_by_user ON shared_reports (user_id, id);
CREATE INDEX shared_reports_by_video ON shared_reports (video_id, id);

-- What the background task has still to deactivate, soonest first.
CREATE INDEX shared_reports_by_expiry ON shared_reports (expires_at)
    WHERE is_active = 1 AND expires_at IS NOT NULL;

-- What is to be purged, longest dead first.
CREATE INDEX shared_reports_by_death ON shared_reports (dead_since) WHERE dead_since IS NOT NULL;

-- Calls that made a link and may come again, for a day. `request` is what the link was made of, so
-- that the answer can be given again whatever has become of the link since.
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

-- With this the link and its key are one statement: no crash can leave one without the other.
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
