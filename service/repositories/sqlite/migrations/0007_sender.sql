ALTER TABLE shared_reports ADD COLUMN sender TEXT;

DROP TRIGGER shared_reports_changed;

CREATE TRIGGER shared_reports_changed AFTER UPDATE OF
    id, user_id, video_id, share_hash, expires_at, is_active, created_at, not_before, max_views,
    password, label, modules, switched_off_at, max_views_changed_at, access_revision, note, sender
    ON shared_reports
BEGIN UPDATE cache_generation SET number = number + 1; END;
