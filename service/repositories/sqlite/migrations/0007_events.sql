CREATE TABLE event_subscriptions (
    user_id    TEXT    PRIMARY KEY CHECK (user_id <> ''),
    is_enabled INTEGER NOT NULL DEFAULT 0 CHECK (is_enabled IN (0, 1)),
    webhooks   INTEGER NOT NULL DEFAULT 0 CHECK (webhooks >= 0),
    is_on      INTEGER NOT NULL GENERATED ALWAYS AS (is_enabled OR webhooks > 0) VIRTUAL
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id           TEXT    NOT NULL,
    type              TEXT    NOT NULL,
    created_at        TEXT    NOT NULL,
    new_views         INTEGER,
    new_bot_views     INTEGER,
    new_unlocks       INTEGER,
    link_id           INTEGER,
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
    job_id            TEXT,
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

CREATE TABLE event_views (
    link_id        INTEGER PRIMARY KEY,
    tell_after     TEXT    NOT NULL,
    view_count     INTEGER NOT NULL,
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
