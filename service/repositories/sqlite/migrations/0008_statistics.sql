-- What was counted before is in no hour's statistics. When a link was first viewed is not known then.
ALTER TABLE shared_reports ADD COLUMN page_view_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shared_reports ADD COLUMN download_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shared_reports ADD COLUMN failed_password_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shared_reports ADD COLUMN first_viewed_at TEXT;
ALTER TABLE shared_reports ADD COLUMN counted_hour INTEGER NOT NULL DEFAULT 0;

CREATE TABLE view_statistics (
    video_id  INTEGER NOT NULL,
    report_id INTEGER NOT NULL,
    hour      INTEGER NOT NULL,
    api       INTEGER NOT NULL,
    pages     INTEGER NOT NULL,
    bots      INTEGER NOT NULL,
    downloads INTEGER NOT NULL,
    PRIMARY KEY (video_id, report_id, hour)
) STRICT, WITHOUT ROWID;

CREATE TABLE video_views (
    video_id              INTEGER PRIMARY KEY REFERENCES videos (id) ON DELETE CASCADE,
    view_count            INTEGER NOT NULL,
    bot_view_count        INTEGER NOT NULL,
    failed_password_count INTEGER NOT NULL,
    first_viewed_at       TEXT,
    last_viewed_at        TEXT
) STRICT;

CREATE TRIGGER shared_reports_counted AFTER UPDATE OF view_count, bot_view_count, download_count
    ON shared_reports
    WHEN new.view_count <> old.view_count OR new.bot_view_count <> old.bot_view_count
      OR new.download_count <> old.download_count
BEGIN
    INSERT INTO view_statistics (video_id, report_id, hour, api, pages, bots, downloads)
    SELECT new.video_id, counted.id, new.counted_hour,
           new.view_count - old.view_count - (new.page_view_count - old.page_view_count),
           new.page_view_count - old.page_view_count,
           new.bot_view_count - old.bot_view_count,
           new.download_count - old.download_count
      FROM (SELECT new.id AS id UNION ALL SELECT 0) AS counted WHERE true
        ON CONFLICT (video_id, report_id, hour) DO UPDATE
       SET api = api + excluded.api, pages = pages + excluded.pages,
           bots = bots + excluded.bots, downloads = downloads + excluded.downloads;
END;

CREATE TRIGGER shared_reports_summed AFTER UPDATE OF
    view_count, bot_view_count, failed_password_count ON shared_reports
    WHEN new.view_count <> old.view_count OR new.bot_view_count <> old.bot_view_count
      OR new.failed_password_count <> old.failed_password_count
BEGIN
    INSERT INTO video_views
    VALUES (new.video_id, new.view_count - old.view_count,
            new.bot_view_count - old.bot_view_count,
            new.failed_password_count - old.failed_password_count,
            CASE WHEN old.view_count = 0 THEN new.first_viewed_at END,
            CASE WHEN new.view_count <> old.view_count THEN new.last_viewed_at END)
        ON CONFLICT (video_id) DO UPDATE
       SET first_viewed_at = CASE WHEN view_count = 0 THEN excluded.first_viewed_at
           ELSE min(first_viewed_at, ifnull(excluded.first_viewed_at, first_viewed_at)) END,
           last_viewed_at = coalesce(max(last_viewed_at, excluded.last_viewed_at),
                                     excluded.last_viewed_at, last_viewed_at),
           view_count = view_count + excluded.view_count,
           bot_view_count = bot_view_count + excluded.bot_view_count,
           failed_password_count = failed_password_count + excluded.failed_password_count;
END;

INSERT INTO video_views
SELECT video_id, sum(view_count), sum(bot_view_count), 0, NULL, max(last_viewed_at)
  FROM shared_reports
 WHERE video_id IN (SELECT id FROM videos)
 GROUP BY video_id HAVING sum(view_count) + sum(bot_view_count) > 0;
