-- Webhooks. The secrets are stored as they are: they have to sign, and a key to decrypt them would be
-- in the same file. An inactive webhook is never due.
CREATE TABLE webhooks (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id         TEXT    NOT NULL CHECK (user_id <> ''),
    url             TEXT    NOT NULL,
    events          TEXT,                               -- JSON array of the types to deliver; NULL: all
    description     TEXT,
    is_active       INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    disabled_reason TEXT,                               -- why the service has switched it off
    secret          TEXT    NOT NULL,
    previous_secret TEXT,
    previous_until  TEXT,                               -- until then previous_secret signs as well
    created_at      TEXT    NOT NULL,
    failures        INTEGER NOT NULL DEFAULT 0,         -- failed tries since the latest success
    failing_since   TEXT,                               -- the first of them
    resume_at       TEXT,                               -- no try before, as the receiver wants to rest
    due_at          TEXT,                               -- no delivery is due before; NULL: none is pending
    lease           INTEGER,                            -- random; the dispatcher that has it makes the deliveries
    leased_until    TEXT
) STRICT;

CREATE INDEX webhooks_by_user ON webhooks (user_id, id);
CREATE INDEX webhooks_active ON webhooks (user_id) WHERE is_active = 1;
CREATE INDEX webhooks_due ON webhooks (due_at)
    WHERE due_at IS NOT NULL AND failing_since IS NULL;
CREATE INDEX webhooks_failing_due ON webhooks (due_at)
    WHERE due_at IS NOT NULL AND failing_since IS NOT NULL;

-- A row outlives its webhook, unseen, and is purged with its event.
CREATE TABLE webhook_deliveries (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id      INTEGER NOT NULL,
    event_id        INTEGER,                            -- NULL for a test
    type            TEXT    NOT NULL,
    created_at      TEXT    NOT NULL,
    status          TEXT    NOT NULL DEFAULT 'pending'
                    CHECK (status IN ('pending', 'delivered', 'failed')),
    step            INTEGER NOT NULL DEFAULT 0,         -- failed tries of the schedule; 0 again if its user retries it
    attempts        INTEGER NOT NULL DEFAULT 0,
    last_attempt_at TEXT,
    status_code     INTEGER,
    error           TEXT,
    next_attempt_at TEXT
) STRICT;

CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (id) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_fresh ON webhook_deliveries (webhook_id, id)
    WHERE status = 'pending' AND step = 0;
CREATE INDEX webhook_deliveries_retries ON webhook_deliveries (webhook_id, next_attempt_at)
    WHERE status = 'pending' AND step > 0;

CREATE TRIGGER events_delivered AFTER INSERT ON events
    WHEN EXISTS (SELECT 1 FROM webhooks WHERE user_id = new.user_id AND is_active = 1)
BEGIN
    INSERT INTO webhook_deliveries (webhook_id, event_id, type, created_at, next_attempt_at)
    SELECT id, new.id, new.type, new.created_at, new.created_at
      FROM webhooks
     WHERE user_id = new.user_id AND is_active = 1
       AND (events IS NULL OR new.type IN (SELECT value FROM json_each(events)))
     ORDER BY id;
END;

CREATE TRIGGER webhook_deliveries_due AFTER INSERT ON webhook_deliveries
BEGIN
    UPDATE webhooks SET due_at = max(new.created_at, ifnull(resume_at, ''))
     WHERE id = new.webhook_id AND is_active = 1
       AND ifnull(due_at, '~') > max(new.created_at, ifnull(resume_at, ''));
END;

CREATE TRIGGER webhook_deliveries_retried AFTER UPDATE OF step ON webhook_deliveries
    WHEN new.status = 'pending' AND new.step = 0
BEGIN
    UPDATE webhooks SET due_at = new.next_attempt_at, resume_at = NULL
     WHERE id = new.webhook_id AND is_active = 1;
END;

-- Whoever has an active webhook has events written.
CREATE TRIGGER webhooks_made AFTER INSERT ON webhooks
BEGIN
    INSERT INTO event_subscriptions (user_id, webhooks)
    SELECT new.user_id, count(*) FROM webhooks WHERE user_id = new.user_id AND is_active = 1
        ON CONFLICT (user_id) DO UPDATE SET webhooks = excluded.webhooks;
END;

CREATE TRIGGER webhooks_switched AFTER UPDATE OF is_active ON webhooks
    WHEN new.is_active <> old.is_active
BEGIN
    UPDATE event_subscriptions SET webhooks = (
           SELECT count(*) FROM webhooks WHERE user_id = new.user_id AND is_active = 1)
     WHERE user_id = new.user_id;
END;

CREATE TRIGGER webhooks_deleted AFTER DELETE ON webhooks
BEGIN
    UPDATE event_subscriptions SET webhooks = (
           SELECT count(*) FROM webhooks WHERE user_id = old.user_id AND is_active = 1)
     WHERE user_id = old.user_id;
END;
