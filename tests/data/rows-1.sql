-- What the first released schema may hold; schema-1.sql is that schema. Neither is ever changed.

INSERT INTO api_keys (id, user_id, name, key_prefix, digest, is_active, last_used_at, created_at)
VALUES
    -- lvz_live_ and 64 zeros
    (1, '00000000-0000-0000-0000-000000000001', 'ci', 'lvz_live_000000…',
     '32561012b2ebaefe9af1693e93f3f20c5910b48387d3cc0be6593c8f34057c7f',
     1, '2025-01-15T09:59:00', '2025-01-01T00:00:00'),
    -- lvz_live_ and 64 ones
    (2, '00000000-0000-0000-0000-000000000002', 'Schlüssel', 'lvz_live_111111…',
     '785d0e35735b6000767715e64b7ec1d7a182019fedc59062c47e25a9205f3373',
     0, NULL, '2025-01-01T00:00:00');

INSERT INTO videos
    (id, user_id, job_id, project_id, name, status, selected_insights, duration, file_size,
     processing_time, storage_path, created_at, updated_at, revision, modules, shown, segments)
VALUES
    (1, '00000000-0000-0000-0000-000000000001', 'job-1', 'project-1', 'Straße.mp4', 'completed',
     '["scenes"]', 120.5, 9000000000, 12.5, '/srv/1.mp4', '2025-01-02T00:00:00',
     '2025-01-03T00:00:00', 3, '["scenes"]',
     '"job_id":"job-1","name":"Straße.mp4","status":"completed","duration":120.5,"processing_time":12.5',
     '[{"id":"1","job_id":"job-1","module":"scenes","content":"Scene 1","start_time":0.0,"end_time":4.2,"metadata":null,"created_at":"2025-01-02T00:00:00"}]'),
    (2, '00000000-0000-0000-0000-000000000002', 'job-1', NULL, 'x', 'failed', '[]', NULL, NULL,
     NULL, NULL, '2025-01-02T00:00:00', '2025-01-02T00:00:00', 1, '[]',
     '"job_id":"job-1","name":"x","status":"failed","duration":null,"processing_time":null', '[]'),
    (7, '00000000-0000-0000-0000-000000000002', 'deleted', NULL, 'x', 'queued', '[]', NULL, NULL,
     NULL, NULL, '2025-01-02T00:00:00', '2025-01-02T00:00:00', 1, '[]',
     '"job_id":"deleted","name":"x","status":"queued","duration":null,"processing_time":null', '[]');

INSERT INTO shared_reports (id, user_id, video_id, share_hash, expires_at, is_active, created_at)
VALUES
    (1, '00000000-0000-0000-0000-000000000001', 1, 'ForEver000000001', NULL, 1,
     '2025-01-04T00:00:00'),
    (2, '00000000-0000-0000-0000-000000000001', 1, 'TillLater0000002', '2030-01-01T00:00:00', 1,
     '2025-01-04T00:00:00'),
    (3, '00000000-0000-0000-0000-000000000001', 1, 'Expired000000003', '2025-01-05T00:00:00', 0,
     '2025-01-04T00:00:00'),
    (4, '00000000-0000-0000-0000-000000000002', 2, 'NotYetSwept00004', '2025-01-06T00:00:00', 1,
     '2025-01-04T00:00:00'),
    (9, '00000000-0000-0000-0000-000000000001', 1, 'Revoked000000009', NULL, 1,
     '2025-01-04T00:00:00');

-- Their ids are never used again.
DELETE FROM videos WHERE id = 7;
DELETE FROM shared_reports WHERE id = 9;
