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

CREATE TABLE shared_reports (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id    TEXT    NOT NULL,                        -- always the video's; copied when the link is made
    video_id   INTEGER NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
    share_hash TEXT    NOT NULL UNIQUE CHECK (share_hash NOT GLOB '*[^A-Za-z0-9]*'),
    expires_at TEXT,
    is_active  INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    created_at TEXT    NOT NULL
) STRICT;

CREATE INDEX shared_reports_by_video ON shared_reports (video_id, id);

-- What the background task has still to deactivate, soonest first.
CREATE INDEX shared_reports_by_expiry ON shared_reports (expires_at)
    WHERE is_active = 1 AND expires_at IS NOT NULL;
