ALTER TABLE shared_reports ADD COLUMN sender text;
