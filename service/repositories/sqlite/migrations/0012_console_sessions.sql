CREATE TABLE console_sessions (
    digest     TEXT    PRIMARY KEY CHECK (length(digest) = 64),
    key_id     INTEGER NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    expires_at TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX console_sessions_by_key ON console_sessions (key_id, expires_at);

CREATE TRIGGER console_sessions_of_key_off AFTER UPDATE OF is_active ON api_keys
    WHEN new.is_active = 0
BEGIN DELETE FROM console_sessions WHERE key_id = new.id; END;
