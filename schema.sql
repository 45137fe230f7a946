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
    bot_view_count  INTEGER NOT NULL DEFAULT 0
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
    password, label, modules, switched_off_at, max_views_changed_at, access_revision, note
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

-- Events: what has happened to the links and videos of the users who have asked for it. The triggers
-- below write them in the statement that they tell of. A user who has not asked costs one look-up.
CREATE TABLE event_subscriptions (
    user_id    TEXT    PRIMARY KEY CHECK (user_id <> ''),
    is_enabled INTEGER NOT NULL DEFAULT 0 CHECK (is_enabled IN (0, 1)),  -- whether the user has asked by `PUT /api/events`
    webhooks   INTEGER NOT NULL DEFAULT 0 CHECK (webhooks >= 0),         -- how many of the user's webhooks are on
    is_on      INTEGER NOT NULL GENERATED ALWAYS AS (is_enabled OR webhooks > 0) VIRTUAL
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id           TEXT    NOT NULL,
    type              TEXT    NOT NULL,
    created_at        TEXT    NOT NULL,
    new_views         INTEGER,                          -- since the link's latest event of views
    new_bot_views     INTEGER,
    new_unlocks       INTEGER,
    link_id           INTEGER,                          -- of an event of a link: the link as it was then, without the secrets
    video_id          INTEGER,
    link_created_at   TEXT,
    expires_at        TEXT,
    not_before        TEXT,
    is_active         INTEGER,
    switched_off_at   TEXT,
    max_views         INTEGER,
    has_password      INTEGER,
    label             TEXT,
    note              TEXT,
    modules           TEXT,
    view_count        INTEGER,
    bot_view_count    INTEGER,
    last_viewed_at    TEXT,
    job_id            TEXT,                             -- of an event of a video: the video as it was then
    project_id        TEXT,
    name              TEXT,
    video_status      TEXT,
    selected_insights TEXT,
    duration          REAL,
    file_size         INTEGER,
    processing_time   REAL,
    storage_path      TEXT,
    video_created_at  TEXT,
    updated_at        TEXT
) STRICT;

CREATE INDEX events_by_user ON events (user_id, id);
CREATE INDEX events_by_age ON events (created_at);

-- Links whose views an event has told of within the last minute. Later views are told when it is
-- over: they are the difference to the link's counts.
CREATE TABLE event_views (
    link_id        INTEGER PRIMARY KEY,
    tell_after     TEXT    NOT NULL,
    view_count     INTEGER NOT NULL,                    -- the link's counts in its latest event
    bot_view_count INTEGER NOT NULL
) STRICT;

CREATE INDEX event_views_by_time ON event_views (tell_after);

CREATE TRIGGER shared_reports_created_event AFTER INSERT ON shared_reports
    WHEN EXISTS (SELECT 1 FROM event_subscriptions WHERE user_id = new.user_id AND is_on)
BEGIN
    INSERT INTO events (user_id, type, created_at, link_id, video_id, link_created_at, expires_at,
               not_before, is_active, switched_off_at, max_views, has_password, label, note,
               modules, view_count, bot_view_count, last_viewed_at)
    VALUES (new.user_id, 'shared_report.created', new.created_at, new.id, new.video_id,
            new.created_at, new.expires_at, new.not_before, new.is_active, new.switched_off_at,
            new.max_views, new.password IS NOT NULL, new.label, new.note, new.modules,
            new.view_count, new.bot_view_count, new.last_viewed_at);
END;

CREATE TRIGGER shared_reports_changed_events AFTER UPDATE ON shared_reports
    WHEN EXISTS (SELECT 1 FROM event_subscriptions WHERE user_id = new.user_id AND is_on)
BEGIN
    INSERT INTO events (user_id, type, created_at, new_views, new_bot_views, link_id, video_id,
               link_created_at, expires_at, not_before, is_active, switched_off_at, max_views,
               has_password, label, note, modules, view_count, bot_view_count, last_viewed_at)
    SELECT new.user_id, event.type, replace(CURRENT_TIMESTAMP, ' ', 'T'), event.new_views,
           event.new_bot_views, new.id, new.video_id, new.created_at, new.expires_at,
           new.not_before, new.is_active, new.switched_off_at, new.max_views,
           new.password IS NOT NULL, new.label, new.note, new.modules, new.view_count,
           new.bot_view_count, new.last_viewed_at
      FROM (SELECT 'shared_report.changed' AS type, NULL AS new_views, NULL AS new_bot_views
             WHERE (new.expires_at, new.not_before, new.max_views, new.password, new.label,
                    new.modules, new.note, new.switched_off_at)
                IS NOT (old.expires_at, old.not_before, old.max_views, old.password, old.label,
                    old.modules, old.note, old.switched_off_at)
             UNION ALL
            SELECT 'shared_report.rotated', NULL, NULL WHERE new.share_hash <> old.share_hash
             UNION ALL
            SELECT 'shared_report.viewed', new.view_count - old.view_count,
                   new.bot_view_count - old.bot_view_count
             WHERE (new.view_count > old.view_count OR new.bot_view_count > old.bot_view_count)
               AND NOT EXISTS (SELECT 1 FROM event_views WHERE link_id = new.id)
             UNION ALL
            SELECT 'shared_report.expired', NULL, NULL WHERE old.is_active AND NOT new.is_active
             UNION ALL
            SELECT 'shared_report.exhausted', NULL, NULL
             WHERE new.view_count >= new.max_views
               AND (old.view_count >= old.max_views) IS NOT TRUE) AS event;
    INSERT INTO event_views (link_id, tell_after, view_count, bot_view_count)
    SELECT new.id, strftime('%Y-%m-%dT%H:%M:%S', CURRENT_TIMESTAMP, '+60 seconds'),
           new.view_count, new.bot_view_count
     WHERE (new.view_count > old.view_count OR new.bot_view_count > old.bot_view_count)
       AND NOT EXISTS (SELECT 1 FROM event_views WHERE link_id = new.id);
END;

CREATE TRIGGER shared_reports_unlocked_event AFTER UPDATE OF granted ON shared_reports
    WHEN EXISTS (SELECT 1 FROM event_subscriptions WHERE user_id = new.user_id AND is_on)
BEGIN
    INSERT INTO events (user_id, type, created_at, new_unlocks, link_id, video_id, link_created_at,
               expires_at, not_before, is_active, switched_off_at, max_views, has_password,
               label, note, modules, view_count, bot_view_count, last_viewed_at)
    SELECT new.user_id, 'shared_report.unlocked', replace(CURRENT_TIMESTAMP, ' ', 'T'),
           new.granted, new.id, new.video_id, new.created_at, new.expires_at, new.not_before,
           new.is_active, new.switched_off_at, new.max_views, new.password IS NOT NULL, new.label,
           new.note, new.modules, new.view_count, new.bot_view_count, new.last_viewed_at
     WHERE new.granted > 0;
END;

CREATE TRIGGER event_views_told AFTER UPDATE OF tell_after ON event_views
BEGIN
    DELETE FROM event_views
     WHERE link_id = new.link_id AND NOT EXISTS (
           SELECT 1 FROM shared_reports AS link JOIN event_subscriptions USING (user_id)
            WHERE link.id = new.link_id AND is_on
              AND (link.view_count > new.view_count OR link.bot_view_count > new.bot_view_count));
    INSERT INTO events (user_id, type, created_at, new_views, new_bot_views, link_id, video_id,
               link_created_at, expires_at, not_before, is_active, switched_off_at, max_views,
               has_password, label, note, modules, view_count, bot_view_count, last_viewed_at)
    SELECT link.user_id, 'shared_report.viewed', replace(CURRENT_TIMESTAMP, ' ', 'T'),
           link.view_count - told.view_count, link.bot_view_count - told.bot_view_count, link.id,
           link.video_id, link.created_at, link.expires_at, link.not_before, link.is_active,
           link.switched_off_at, link.max_views, link.password IS NOT NULL, link.label, link.note,
           link.modules, link.view_count, link.bot_view_count, link.last_viewed_at
      FROM event_views AS told JOIN shared_reports AS link ON link.id = told.link_id
     WHERE told.link_id = new.link_id;
    UPDATE event_views SET (view_count, bot_view_count) = (
           SELECT view_count, bot_view_count FROM shared_reports WHERE id = new.link_id)
     WHERE link_id = new.link_id;
END;

-- Links that retention deletes: nobody has revoked them. The trigger deletes the link and the row.
CREATE TABLE purged_links (id INTEGER PRIMARY KEY) STRICT;

CREATE TRIGGER purged_links_deleted AFTER INSERT ON purged_links
BEGIN
    DELETE FROM shared_reports WHERE id = new.id;
    DELETE FROM purged_links WHERE id = new.id;
END;

CREATE TRIGGER shared_reports_revoked_event AFTER DELETE ON shared_reports
    WHEN EXISTS (SELECT 1 FROM event_subscriptions WHERE user_id = old.user_id AND is_on)
BEGIN
    INSERT INTO events (user_id, type, created_at, link_id, video_id, link_created_at, expires_at,
               not_before, is_active, switched_off_at, max_views, has_password, label, note,
               modules, view_count, bot_view_count, last_viewed_at)
    SELECT old.user_id, 'shared_report.revoked', replace(CURRENT_TIMESTAMP, ' ', 'T'), old.id,
           old.video_id, old.created_at, old.expires_at, old.not_before, old.is_active,
           old.switched_off_at, old.max_views, old.password IS NOT NULL, old.label, old.note,
           old.modules, old.view_count, old.bot_view_count, old.last_viewed_at
     WHERE NOT EXISTS (SELECT 1 FROM purged_links WHERE id = old.id);
END;

CREATE TRIGGER videos_replaced_event AFTER UPDATE OF revision ON videos
    WHEN EXISTS (SELECT 1 FROM event_subscriptions WHERE user_id = new.user_id AND is_on)
BEGIN
    INSERT INTO events (user_id, type, created_at, video_id, job_id, project_id, name, video_status,
               selected_insights, duration, file_size, processing_time, storage_path,
               video_created_at, updated_at)
    VALUES (new.user_id, 'video.replaced', replace(CURRENT_TIMESTAMP, ' ', 'T'), new.id,
            new.job_id, new.project_id, new.name, new.status, new.selected_insights, new.duration,
            new.file_size, new.processing_time, new.storage_path, new.created_at, new.updated_at);
END;

CREATE TRIGGER videos_deleted_event AFTER UPDATE OF user_id ON videos
    WHEN new.user_id = 'deleted'
     AND EXISTS (SELECT 1 FROM event_subscriptions WHERE user_id = old.user_id AND is_on)
BEGIN
    INSERT INTO events (user_id, type, created_at, video_id, job_id, project_id, name, video_status,
               selected_insights, duration, file_size, processing_time, storage_path,
               video_created_at, updated_at)
    VALUES (old.user_id, 'video.deleted', replace(CURRENT_TIMESTAMP, ' ', 'T'), old.id,
            old.job_id, old.project_id, old.name, old.status, old.selected_insights, old.duration,
            old.file_size, old.processing_time, old.storage_path, old.created_at, old.updated_at);
END;

-- Webhooks. The secrets are stored as they are: they have to sign, and a key to decrypt them would be
-- in the same file. An inactive webhook is never due.
CREATE TABLE webhooks (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id         TEXT    NOT NULL CHECK (user_id <> ''),
    url             TEXT    NOT NULL,
    events          TEXT,                               -- JSON array of the types to deliver; NULL: all
    description     TEXT,
    is_active       INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    disabled_reason TEXT,                               -- why the service has switched it off
    secret          TEXT    NOT NULL,
    previous_secret TEXT,
    previous_until  TEXT,                               -- until then previous_secret signs as well
    created_at      TEXT    NOT NULL,
    failures        INTEGER NOT NULL DEFAULT 0,         -- failed tries since the latest success
    failing_since   TEXT,                               -- the first of them
    resume_at       TEXT,                               -- no try before, as the receiver wants to rest
    due_at          TEXT,                               -- no delivery is due before; NULL: none is pending
    lease           INTEGER,                            -- random; the dispatcher that has it makes the deliveries
    leased_until    TEXT
) STRICT;

CREATE INDEX webhooks_by_user ON webhooks (user_id, id);
CREATE INDEX webhooks_active ON webhooks (user_id) WHERE is_active = 1;
CREATE INDEX webhooks_due ON webhooks (due_at)
    WHERE due_at IS NOT NULL AND failing_since IS NULL;
CREATE INDEX webhooks_failing_due ON webhooks (due_at)
    WHERE due_at IS NOT NULL AND failing_since IS NOT NULL;

-- A row outlives its webhook, unseen, and is purged with its event.
CREATE TABLE webhook_deliveries (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id      INTEGER NOT NULL,
    event_id        INTEGER,                            -- NULL for a test
    type            TEXT    NOT NULL,
    created_at      TEXT    NOT NULL,
    status          TEXT    NOT NULL DEFAULT 'pending'
                    CHECK (status IN ('pending', 'delivered', 'failed')),
    step            INTEGER NOT NULL DEFAULT 0,         -- failed tries of the schedule; 0 again if its user retries it
    attempts        INTEGER NOT NULL DEFAULT 0,
    last_attempt_at TEXT,
    status_code     INTEGER,
    error           TEXT,
    next_attempt_at TEXT
) STRICT;

CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (id) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_fresh ON webhook_deliveries (webhook_id, id)
    WHERE status = 'pending' AND step = 0;
CREATE INDEX webhook_deliveries_retries ON webhook_deliveries (webhook_id, next_attempt_at)
    WHERE status = 'pending' AND step > 0;

CREATE TRIGGER events_delivered AFTER INSERT ON events
    WHEN EXISTS (SELECT 1 FROM webhooks WHERE user_id = new.user_id AND is_active = 1)
BEGIN
    INSERT INTO webhook_deliveries (webhook_id, event_id, type, created_at, next_attempt_at)
    SELECT id, new.id, new.type, new.created_at, new.created_at
      FROM webhooks
     WHERE user_id = new.user_id AND is_active = 1
       AND (events IS NULL OR new.type IN (SELECT value FROM json_each(events)))
     ORDER BY id;
END;

CREATE TRIGGER webhook_deliveries_due AFTER INSERT ON webhook_deliveries
BEGIN
    UPDATE webhooks SET due_at = max(new.created_at, ifnull(resume_at, ''))
     WHERE id = new.webhook_id AND is_active = 1
       AND ifnull(due_at, '~') > max(new.created_at, ifnull(resume_at, ''));
END;

CREATE TRIGGER webhook_deliveries_retried AFTER UPDATE OF step ON webhook_deliveries
    WHEN new.status = 'pending' AND new.step = 0
BEGIN
    UPDATE webhooks SET due_at = new.next_attempt_at, resume_at = NULL
     WHERE id = new.webhook_id AND is_active = 1;
END;

-- Whoever has an active webhook has events written.
CREATE TRIGGER webhooks_made AFTER INSERT ON webhooks
BEGIN
    INSERT INTO event_subscriptions (user_id, webhooks)
    SELECT new.user_id, count(*) FROM webhooks WHERE user_id = new.user_id AND is_active = 1
        ON CONFLICT (user_id) DO UPDATE SET webhooks = excluded.webhooks;
END;

CREATE TRIGGER webhooks_switched AFTER UPDATE OF is_active ON webhooks
    WHEN new.is_active <> old.is_active
BEGIN
    UPDATE event_subscriptions SET webhooks = (
           SELECT count(*) FROM webhooks WHERE user_id = new.user_id AND is_active = 1)
     WHERE user_id = new.user_id;
END;

CREATE TRIGGER webhooks_deleted AFTER DELETE ON webhooks
BEGIN
    UPDATE event_subscriptions SET webhooks = (
           SELECT count(*) FROM webhooks WHERE user_id = old.user_id AND is_active = 1)
     WHERE user_id = old.user_id;
END;

-- The key that access tokens are signed with: one row, made at the first start.
CREATE TABLE signing_key (
    id  INTEGER PRIMARY KEY CHECK (id = 1),
    key BLOB    NOT NULL CHECK (length(key) = 32)
) STRICT;
