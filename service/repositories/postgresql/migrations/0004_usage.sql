-- Writers wait until all is counted, readers do not: the columns are in a migration of their own.
INSERT INTO video_views
SELECT video_id, sum(view_count), sum(bot_view_count), 0, NULL, max(last_viewed_at)
  FROM shared_reports
 GROUP BY video_id HAVING sum(view_count) + sum(bot_view_count) > 0;

CREATE TABLE user_usage (
    user_id text   COLLATE "C" PRIMARY KEY,
    links   bigint NOT NULL,
    videos  bigint NOT NULL,
    bytes   bigint NOT NULL
) WITH (fillfactor = 50);

CREATE FUNCTION count_made_links() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO user_usage AS known
    SELECT user_id, count(*), 0, 0 FROM made WHERE inactive_since IS NULL
     GROUP BY user_id ORDER BY user_id
        ON CONFLICT (user_id) DO UPDATE SET links = known.links + excluded.links;
    RETURN NULL;
END $$;

CREATE FUNCTION count_ended_links() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WITH changed AS MATERIALIZED (
         SELECT after.user_id, count(*) FILTER (WHERE after.inactive_since IS NULL)
                - count(*) FILTER (WHERE after.inactive_since IS NOT NULL) AS links
           FROM after JOIN before ON before.id = after.id
          WHERE (before.inactive_since IS NULL) <> (after.inactive_since IS NULL)
          GROUP BY after.user_id),
         locked AS MATERIALIZED (
         SELECT user_id FROM user_usage WHERE user_id IN (SELECT user_id FROM changed)
          ORDER BY user_id FOR NO KEY UPDATE)
    UPDATE user_usage SET links = user_usage.links + changed.links
      FROM changed JOIN locked ON locked.user_id = changed.user_id
     WHERE user_usage.user_id = changed.user_id;
    RETURN NULL;
END $$;

CREATE FUNCTION count_gone_links() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WITH changed AS MATERIALIZED (
         SELECT user_id, count(*) AS links FROM gone WHERE inactive_since IS NULL GROUP BY user_id),
         locked AS MATERIALIZED (
         SELECT user_id FROM user_usage WHERE user_id IN (SELECT user_id FROM changed)
          ORDER BY user_id FOR NO KEY UPDATE)
    UPDATE user_usage SET links = user_usage.links - changed.links
      FROM changed JOIN locked ON locked.user_id = changed.user_id
     WHERE user_usage.user_id = changed.user_id;
    RETURN NULL;
END $$;

CREATE FUNCTION count_videos() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND old.user_id <> 'deleted' THEN
        UPDATE user_usage
           SET videos = videos - 1, bytes = bytes - octet_length(old.segments)
         WHERE user_id = old.user_id;
    END IF;
    IF TG_OP <> 'DELETE' AND new.user_id <> 'deleted' THEN
        INSERT INTO user_usage AS known VALUES (new.user_id, 0, 1, octet_length(new.segments))
            ON CONFLICT (user_id) DO UPDATE
           SET videos = known.videos + 1, bytes = known.bytes + excluded.bytes;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER shared_reports_made AFTER INSERT ON shared_reports
    REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION count_made_links();

CREATE TRIGGER shared_reports_ended AFTER UPDATE ON shared_reports
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION count_ended_links();

CREATE TRIGGER shared_reports_gone AFTER DELETE ON shared_reports
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION count_gone_links();

CREATE TRIGGER videos_counted AFTER INSERT OR DELETE OR UPDATE OF user_id, segments ON videos
    FOR EACH ROW EXECUTE FUNCTION count_videos();

INSERT INTO user_usage
SELECT user_id, 0, count(*), sum(octet_length(segments))
  FROM videos WHERE user_id <> 'deleted' GROUP BY user_id;

INSERT INTO user_usage AS known
SELECT user_id, count(*), 0, 0 FROM shared_reports WHERE inactive_since IS NULL GROUP BY user_id
    ON CONFLICT (user_id) DO UPDATE SET links = excluded.links;
