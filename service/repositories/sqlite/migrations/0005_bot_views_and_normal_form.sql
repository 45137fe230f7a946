ALTER TABLE shared_reports ADD COLUMN bot_view_count INTEGER NOT NULL DEFAULT 0;

-- Filters are in Unicode's form NFC. A text that would grow beyond its bound stays as it is.
UPDATE shared_reports SET label = nfc(label)
 WHERE label <> nfc(label) AND length(nfc(label)) <= 200;

UPDATE videos SET project_id = nfc(project_id)
 WHERE project_id <> nfc(project_id) AND length(nfc(project_id)) <= 1000;
