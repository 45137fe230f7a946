-- What schema 2 may hold beside the rows of rows-1.sql; schema-2.sql is that schema. Neither is
-- ever changed.

INSERT INTO shared_reports
    (id, user_id, video_id, share_hash, expires_at, is_active, created_at, not_before, max_views,
     view_count, last_viewed_at, password, label, modules, switched_off_at, limited_at, opened)
VALUES
    (10, '00000000-0000-0000-0000-000000000001', 1, 'UsedUp0000000010', NULL, 1,
     '2025-01-04T00:00:00', '2025-01-04T00:00:00', 2, 2, '2025-01-05T00:00:00',
     'scrypt$16384$8$1$c2FsdA==$ZGlnZXN0', 'für die Presse', '["scenes"]', NULL,
     '2025-01-06T00:00:00', 1),
    (11, '00000000-0000-0000-0000-000000000001', 1, 'SwitchedOff00011', NULL, 1,
     '2025-01-04T00:00:00', NULL, NULL, 3, '2025-01-05T00:00:00', NULL, '', '[]',
     '2025-01-07T00:00:00', NULL, 0);

-- Made by the key `k` and {"video_id": "job-1", "label": "canary-label"}.
INSERT INTO shared_reports
    (id, user_id, video_id, share_hash, created_at, label, request_key, request)
VALUES
    (12, '00000000-0000-0000-0000-000000000001', 1, 'Repeatable000012', '2025-01-15T09:59:00',
     'canary-label', '8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a',
     '{"share_hash":"Repeatable000012","terms":{"expires_at":null,"not_before":null,"max_views":null,"password":null,"label":"canary-label","modules":null},"once":{"key":"8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a","body":"8fd01f74d8bd2695ccefac6652c489a16f888e867715fb8e67fd19fb5ff4eee9"}}');

-- A key whose video is gone.
INSERT INTO idempotency_keys
VALUES ('00000000-0000-0000-0000-000000000001', 'gone', '{"share_hash":"Gone000000000001"}', 7, 7,
        '2025-01-15T09:59:00');

INSERT INTO signing_key VALUES (1, zeroblob(32));
UPDATE epoch SET number = 41;
