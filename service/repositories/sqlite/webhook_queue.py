"""The deliveries of webhooks as the dispatcher sees them."""

import secrets
from collections.abc import Sequence

import msgspec

from service.domain import clock
from service.domain.clock import Now
from service.domain.webhooks import (
    BACKLOG_COUNTED,
    FAILING_DAYS_MAX,
    Attempt,
    Backlog,
    ClaimedWebhook,
    DueDelivery,
    QueueState,
    WebhookHealth,
)
from service.repositories.base_webhooks import FRESH_AT_ONCE, LEASE_SECONDS, RETRIES_AT_ONCE
from service.repositories.event_pages import (
    EVENT_COLUMNS,
    LINK_COLUMNS,
    VIDEO_COLUMNS,
    map_events,
)
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.link_sql import report_columns
from service.repositories.webhook_rows import claimed_webhook, due_deliveries

_IS_FREE = "(leased_until IS NULL OR leased_until <= :now)"


def _after(seconds: str) -> str:
    """The time so many seconds after ``:now``; null if they are."""
    return f"strftime('%Y-%m-%dT%H:%M:%S', :now, '+' || {seconds} || ' seconds')"


def _first_due(lane: str) -> str:
    return f"""(SELECT due_at FROM webhooks
                 WHERE due_at IS NOT NULL AND failing_since {lane} AND {_IS_FREE}
                 ORDER BY due_at LIMIT 1)"""


_DROP_CLAIMS = """-- drop the claims of webhooks
    UPDATE webhooks SET lease = NULL, leased_until = NULL
     WHERE due_at IS NOT NULL AND leased_until IS NOT NULL"""

_STATE = f"""-- look for due webhooks
    SELECT EXISTS (SELECT 1 FROM webhooks WHERE is_active = 1),
           {_first_due("IS NULL")}, {_first_due("IS NOT NULL")}"""


def _claim(lane: str) -> str:
    return f"""-- claim webhooks
    UPDATE webhooks SET lease = :lease, leased_until = {_after(str(LEASE_SECONDS))}
     WHERE id IN (SELECT id FROM webhooks
                   WHERE due_at <= :now AND due_at IS NOT NULL AND failing_since {lane}
                     AND {_IS_FREE}
                   ORDER BY due_at LIMIT :limit)
    RETURNING id, user_id, lease, url, failures, secret,
              CASE WHEN previous_until > :now THEN previous_secret END"""


_CLAIM_WELL, _CLAIM_FAILING = _claim("IS NULL"), _claim("IS NOT NULL")

_PENDING = """SELECT id, event_id, type, created_at, step FROM webhook_deliveries
             WHERE webhook_id = :id AND status = 'pending'"""

_DUE = f"""-- read due deliveries
    SELECT * FROM ({_PENDING} AND step = 0 ORDER BY id LIMIT {FRESH_AT_ONCE})
     UNION ALL
    SELECT * FROM ({_PENDING} AND step > 0 AND next_attempt_at <= :now
                    ORDER BY next_attempt_at LIMIT {RETRIES_AT_ONCE})"""

_EVENTS = f"""-- read events to deliver
    SELECT {EVENT_COLUMNS}, {report_columns("link", "link.event_at")},
           {VIDEO_COLUMNS}
      FROM (SELECT {LINK_COLUMNS}, nullif(has_password, 0) AS password FROM events
             WHERE events.id IN (SELECT value FROM json_each(:ids))) AS link"""

_IS_HELD = "EXISTS (SELECT 1 FROM webhooks WHERE id = :id AND lease = :lease)"

_RECORD = f"""-- record deliveries
    UPDATE webhook_deliveries
       SET status = attempt.status, status_code = attempt.status_code, error = attempt.error,
           step = step + (attempt.error IS NOT NULL), attempts = attempts + 1,
           last_attempt_at = :now, next_attempt_at = {_after("attempt.delay")}
      FROM (SELECT value ->> '$.delivery_id' AS id, value ->> '$.status' AS status,
                   value ->> '$.status_code' AS status_code, value ->> '$.error' AS error,
                   value ->> '$.delay' AS delay
              FROM json_each(:attempts)) AS attempt
     WHERE webhook_deliveries.id = attempt.id AND {_IS_HELD}"""

_RENEW = f"""-- renew the lease of a webhook
    UPDATE webhooks SET leased_until = {_after(str(LEASE_SECONDS))}
     WHERE id = :id AND lease = :lease"""

_RECORD_HEALTH = f"""-- record the health of a webhook
    UPDATE webhooks
       SET leased_until = {_after(str(LEASE_SECONDS))}, failures = :failures,
           failing_since = CASE WHEN :failures = 0 THEN NULL
                                WHEN :has_recovered THEN :now
                                ELSE ifnull(failing_since, :now) END,
           resume_at = {_after(":rest")}
     WHERE id = :id AND lease = :lease"""

_FAILING_TOO_LONG = f"""-- look how long a webhook fails
    SELECT 1 FROM webhooks
     WHERE id = :id
       AND failing_since <= strftime('%Y-%m-%dT%H:%M:%S', :now, '-{FAILING_DAYS_MAX} days')"""

_SWITCH_OFF = """-- switch a webhook off
    UPDATE webhooks SET is_active = 0, disabled_reason = :reason, due_at = NULL
     WHERE id = :id AND lease = :lease"""

# A pending delivery that is new is due at once, unless the webhook rests.
_RELEASE = """-- release a webhook
    UPDATE webhooks
       SET lease = NULL, leased_until = NULL,
           due_at = CASE WHEN NOT is_active THEN NULL
           WHEN EXISTS (SELECT 1 FROM webhook_deliveries
                         WHERE webhook_id = :id AND status = 'pending' AND step = 0)
           THEN max(:now, ifnull(resume_at, ''))
           ELSE max(ifnull(resume_at, ''), (
                SELECT min(next_attempt_at) FROM webhook_deliveries
                 WHERE webhook_id = :id AND status = 'pending' AND step > 0)) END
     WHERE id = :id AND lease = :lease"""

# The ids are in the order of time, so a batch reads the beginning of the table only.
_PURGE = """-- purge deliveries
    DELETE FROM webhook_deliveries WHERE id IN (
           SELECT id FROM (SELECT id, created_at FROM webhook_deliveries ORDER BY id LIMIT :limit)
            WHERE created_at < strftime('%Y-%m-%dT%H:%M:%S', :now, '-' || :days || ' day'))"""

_BACKLOG = f"""-- count pending deliveries
    SELECT (SELECT count(*) FROM (SELECT 1 FROM webhook_deliveries
                                   WHERE status = 'pending' LIMIT {BACKLOG_COUNTED})),
           (SELECT created_at FROM webhook_deliveries
             WHERE status = 'pending' ORDER BY id LIMIT 1)"""


class SqliteWebhookQueue:
    """The deliveries of webhooks: see ``base_webhooks.WebhookQueue``."""

    def __init__(self, database: Database, now: Now) -> None:
        self._reader, self._read_worker = database.reader, database.read_worker
        self._writer = database.writer
        self._now = now

    async def drop_claims(self) -> None:
        """End the claims of a process that was killed: only one process serves a file."""
        await self._writer.execute(_DROP_CLAIMS)

    async def state(self) -> QueueState:
        """Return when there is something to claim."""
        now = self._now()
        [(has_webhooks, *due)] = self._reader.fetch_all(_STATE, now=now)
        first = min((moment for moment in due if moment is not None), default=None)
        delay = None if first is None else clock.to_seconds(first) - clock.to_seconds(now)
        return QueueState(bool(has_webhooks), delay)

    async def claim(self, limit: int, *, failing: bool) -> list[ClaimedWebhook]:
        """Claim up to ``limit`` webhooks: see ``base_webhooks.WebhookQueue``."""
        rows = await self._writer.fetch_all(
            _CLAIM_FAILING if failing else _CLAIM_WELL,
            lease=secrets.randbits(62),
            limit=limit,
            now=self._now,
        )
        return [claimed_webhook(row) for row in rows]

    async def due(self, webhook: ClaimedWebhook) -> list[DueDelivery]:
        """Return some due deliveries: see ``base_webhooks.WebhookQueue``."""
        rows = await self._read_worker.fetch_all(_DUE, id=webhook.id, now=self._now)
        ids = [row[1] for row in rows if row[1] is not None]
        events = await map_events(
            await self._read_worker.fetch_all(_EVENTS, ids=msgspec.json.encode(ids).decode())
        )
        return due_deliveries(rows, events)

    async def record(
        self, webhook: ClaimedWebhook, attempts: Sequence[Attempt], health: WebhookHealth | None
    ) -> bool:
        """Record tries, and renew the lease. Return whether the lease is still held.

        A try and what it says about the webhook become visible together.
        """
        lease = {"id": webhook.id, "lease": webhook.lease, "now": self._now}
        if health is None:
            held = await self._writer.execute(_RENEW, **lease)
        else:
            held = await self._writer.execute(
                _RECORD_HEALTH,
                failures=health.failures,
                has_recovered=health.has_recovered,
                rest=health.rest or None,
                **lease,
            )
        if held and attempts:
            await self._writer.execute(
                _RECORD, attempts=msgspec.json.encode(attempts).decode(), **lease
            )
        return bool(held)

    async def failing_too_long(self, webhook: ClaimedWebhook) -> bool:
        """Return whether all tries have failed for FAILING_DAYS_MAX."""
        return bool(self._reader.fetch_all(_FAILING_TOO_LONG, id=webhook.id, now=self._now()))

    async def switch_off(self, webhook: ClaimedWebhook, reason: str) -> None:
        """Switch a claimed webhook off."""
        await self._writer.execute(_SWITCH_OFF, id=webhook.id, lease=webhook.lease, reason=reason)

    async def release(self, webhook: ClaimedWebhook) -> None:
        """End the lease, and set when the webhook is due next."""
        await self._writer.execute(_RELEASE, id=webhook.id, lease=webhook.lease, now=self._now)

    async def purge(self, days: int, limit: int) -> int:
        """Delete up to ``limit`` deliveries that are older than ``days``. Return how many."""
        return await self._writer.execute(_PURGE, now=self._now, days=days, limit=limit)

    async def backlog(self) -> Backlog:
        """Return the number and the age of pending deliveries, in bounded time."""
        [(count, oldest)] = await self._read_worker.fetch_all(_BACKLOG)
        return Backlog(count, oldest)
