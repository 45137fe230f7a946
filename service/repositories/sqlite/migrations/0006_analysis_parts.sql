-- Analyses of earlier releases stay in videos.segments, whatever their size.
ALTER TABLE videos ADD COLUMN analysis_id INTEGER;

CREATE TABLE analyses (
    id           INTEGER PRIMARY KEY,
    delete_after TEXT
) STRICT;

CREATE INDEX analyses_unused ON analyses (delete_after) WHERE delete_after IS NOT NULL;

CREATE TABLE analysis_parts (
    analysis_id INTEGER NOT NULL REFERENCES analyses (id),
    number      INTEGER NOT NULL,
    data        BLOB    NOT NULL,
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
