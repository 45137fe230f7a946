CREATE TABLE revocations (
    video_id    INTEGER PRIMARY KEY,
    last_id     INTEGER NOT NULL,
    previous_id INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TRIGGER videos_hidden AFTER UPDATE OF user_id ON videos WHEN new.user_id = 'deleted'
BEGIN
    INSERT INTO revocations (video_id, last_id)
    VALUES (new.id, ifnull((SELECT max(id) FROM shared_reports WHERE video_id = new.id), 0))
        ON CONFLICT (video_id) DO UPDATE SET last_id = max(last_id, excluded.last_id);
END;

CREATE TRIGGER revocations_done AFTER DELETE ON revocations
BEGIN DELETE FROM videos WHERE id = old.video_id AND user_id = 'deleted'; END;

DROP TRIGGER videos_deleted;

CREATE TRIGGER videos_deleted AFTER DELETE ON videos WHEN old.user_id <> 'deleted'
BEGIN UPDATE cache_generation SET number = number + 1; END;

DROP TRIGGER shared_reports_deleted;

CREATE TRIGGER shared_reports_deleted AFTER DELETE ON shared_reports
    WHEN NOT EXISTS (SELECT 1 FROM revocations
                      WHERE video_id = old.video_id AND last_id >= old.id)
BEGIN UPDATE cache_generation SET number = number + 1; END;

CREATE TRIGGER revocations_made AFTER INSERT ON revocations
BEGIN UPDATE cache_generation SET number = number + 1; END;

CREATE TRIGGER revocations_changed AFTER UPDATE ON revocations
BEGIN UPDATE cache_generation SET number = number + 1; END;
