CREATE TABLE console_sessions (
    digest     text        COLLATE "C" PRIMARY KEY CHECK (length(digest) = 64),
    key_id     bigint      NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);

CREATE INDEX console_sessions_by_key ON console_sessions (key_id, expires_at);
