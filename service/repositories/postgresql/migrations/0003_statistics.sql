-- What was counted before is in no hour's statistics, nor is what an instance of the release before
-- counts meanwhile. When a link was first viewed is not known then.
ALTER TABLE shared_reports ADD COLUMN page_view_count bigint NOT NULL DEFAULT 0;
ALTER TABLE shared_reports ADD COLUMN download_count bigint NOT NULL DEFAULT 0;
ALTER TABLE shared_reports ADD COLUMN failed_password_count bigint NOT NULL DEFAULT 0;
ALTER TABLE shared_reports ADD COLUMN first_viewed_at timestamptz;

CREATE TABLE view_statistics (
    video_id  bigint  NOT NULL,
    report_id bigint  NOT NULL,
    hour      integer NOT NULL,
    api       integer NOT NULL,
    pages     integer NOT NULL,
    bots      integer NOT NULL,
    downloads integer NOT NULL,
    PRIMARY KEY (video_id, report_id, hour)
) WITH (fillfactor = 90);

CREATE TABLE video_views (
    video_id              bigint PRIMARY KEY REFERENCES videos (id) ON DELETE CASCADE,
    view_count            bigint NOT NULL,
    bot_view_count        bigint NOT NULL,
    failed_password_count bigint NOT NULL,
    first_viewed_at       timestamptz,
    last_viewed_at        timestamptz
) WITH (fillfactor = 50);

ALTER TABLE idempotency_keys ADD COLUMN expires_at timestamptz;
