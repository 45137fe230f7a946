"""The deliveries of webhooks as the dispatchers of all instances see them."""

import secrets
from collections.abc import Sequence

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
from service.repositories.postgresql.engine.database import Database
from service.repositories.postgresql.engine.statements import (
    NOW_SECOND,
    Connection,
    Statement,
    read,
    write,
)
from service.repositories.postgresql.link_sql import report_columns
from service.repositories.webhook_rows import claimed_webhook, due_deliveries

_IS_FREE = f"(leased_until IS NULL OR leased_until <= {NOW_SECOND})"
_UNTIL = f"{NOW_SECOND} + interval '{LEASE_SECONDS} seconds'"


def _first_due(lane: str) -> str:
    return f"""(SELECT due_at FROM webhooks
                 WHERE due_at IS NOT NULL AND failing_since {lane} AND {_IS_FREE}
                 ORDER BY due_at LIMIT 1)"""


_STATE = read(f"""-- look for due webhooks
    SELECT EXISTS (SELECT FROM webhooks WHERE is_active),
           extract(epoch FROM least({_first_due("IS NULL")}, {_first_due("IS NOT NULL")})
                   - {NOW_SECOND})::double precision""")


# Another instance may claim at the same time: each takes rows that nobody else has locked.
def _claim(lane: str) -> Statement:
    return write(f"""-- claim webhooks
    UPDATE webhooks SET lease = :lease, leased_until = {_UNTIL}
     WHERE id IN (SELECT id FROM webhooks
                   WHERE due_at <= {NOW_SECOND} AND due_at IS NOT NULL AND failing_since {lane}
                     AND {_IS_FREE}
                   ORDER BY due_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING id, user_id, lease, url, failures, secret,
              CASE WHEN previous_until > {NOW_SECOND} THEN previous_secret END""")


_CLAIM_WELL, _CLAIM_FAILING = _claim("IS NULL"), _claim("IS NOT NULL")

_PENDING = """SELECT id, event_id, type, created_at, step FROM webhook_deliveries
      WHERE webhook_id = :id AND status = 'pending'"""

_DUE = read(f"""-- read due deliveries
    ({_PENDING} AND step = 0 ORDER BY id LIMIT {FRESH_AT_ONCE})
     UNION ALL
    ({_PENDING} AND step > 0 AND next_attempt_at <= {NOW_SECOND}
      ORDER BY next_attempt_at LIMIT {RETRIES_AT_ONCE})""")

_EVENTS = read(f"""-- read events to deliver
    SELECT {EVENT_COLUMNS}, {report_columns("link", "link.event_at")},
           {VIDEO_COLUMNS}
      FROM (SELECT {LINK_COLUMNS}, nullif(has_password, false) AS password FROM events
             WHERE events.id = ANY(:ids::bigint[])) AS link""")

_RECORD = write(f"""-- record deliveries
    UPDATE webhook_deliveries
       SET status = attempt.status, status_code = attempt.status_code, error = attempt.error,
           step = step + (attempt.error IS NOT NULL)::integer, attempts = attempts + 1,
           last_attempt_at = {NOW_SECOND},
           next_attempt_at = {NOW_SECOND} + make_interval(secs => attempt.delay)
      FROM unnest(:ids::bigint[], :statuses::text[], :status_codes::bigint[], :errors::text[],
                  :delays::double precision[])
           AS attempt (id, status, status_code, error, delay)
     WHERE webhook_deliveries.id = attempt.id
       AND EXISTS (SELECT FROM webhooks WHERE id = :id AND lease = :lease)""")

_RENEW = write(
    f"""-- renew the lease of a webhook
    UPDATE webhooks SET leased_until = {_UNTIL} WHERE id = :id AND lease = :lease""",
    repeats=True,
)

_RECORD_HEALTH = write(
    f"""-- record the health of a webhook
    UPDATE webhooks
       SET leased_until = {_UNTIL}, failures = :failures::bigint,
           failing_since = CASE WHEN :failures = 0 THEN NULL
                                WHEN :has_recovered THEN {NOW_SECOND}
                                ELSE coalesce(failing_since, {NOW_SECOND}) END,
           resume_at = {NOW_SECOND} + make_interval(secs => :rest::double precision)
     WHERE id = :id AND lease = :lease""",
    repeats=True,
)

_FAILING_TOO_LONG = read(f"""-- look how long a webhook fails
    SELECT 1 FROM webhooks
     WHERE id = :id AND failing_since <= {NOW_SECOND} - interval '{FAILING_DAYS_MAX} days'""")

_LOCK = read("""-- lock the webhooks of a user
    SELECT FROM event_subscriptions WHERE user_id = :user_id FOR NO KEY UPDATE""")

_SWITCH_OFF = write(
    """-- switch a webhook off
    UPDATE webhooks SET is_active = false, disabled_reason = :reason, due_at = NULL
     WHERE id = :id AND lease = :lease""",
    repeats=True,
)

# A delivery that is new is due at once, unless the webhook rests.
_RELEASE = write(
    f"""-- release a webhook
    UPDATE webhooks
       SET lease = NULL, leased_until = NULL,
           due_at = CASE WHEN is_active AND pending.next_at IS NOT NULL
                         THEN greatest(pending.next_at, resume_at) END
      FROM (SELECT CASE WHEN EXISTS (
                        SELECT FROM webhook_deliveries
                         WHERE webhook_id = :id AND status = 'pending' AND step = 0)
                   THEN {NOW_SECOND}
                   ELSE (SELECT min(next_attempt_at) FROM webhook_deliveries
                          WHERE webhook_id = :id AND status = 'pending' AND step > 0)
                   END AS next_at) AS pending
     WHERE id = :id AND lease = :lease""",
    repeats=True,
)

# The ids are in the order of time, so a batch reads the beginning of the table only.
_PURGE = write(
    f"""-- purge deliveries
    DELETE FROM webhook_deliveries WHERE id IN (
           SELECT id FROM (SELECT id, created_at FROM webhook_deliveries
                            ORDER BY id LIMIT :limit) AS oldest
            WHERE created_at < {NOW_SECOND} - make_interval(days => :days::integer))""",
    repeats=True,
)

_BACKLOG = read(f"""-- count pending deliveries
    SELECT (SELECT count(*) FROM (
                   SELECT FROM webhook_deliveries WHERE status = 'pending'
                    ORDER BY id LIMIT {BACKLOG_COUNTED}) AS pending),
           (SELECT created_at FROM webhook_deliveries
             WHERE status = 'pending' ORDER BY id LIMIT 1)""")


class PostgresqlWebhookQueue:
    """The deliveries of webhooks: see ``base_webhooks.WebhookQueue``.

    The statements wait for locks that event writers hold, so none is on the connection of small
    writes.
    """

    def __init__(self, database: Database) -> None:
        self._lookups, self._long, self._now = database.lookups, database.long, database.now

    async def drop_claims(self) -> None:
        """Do nothing: other instances hold claims, and those of dead ones end by the clock."""

    async def state(self) -> QueueState:
        """Return when there is something to claim."""
        [(has_webhooks, delay)] = await self._lookups.fetch_all(_STATE, now=self._now)
        return QueueState(has_webhooks, delay)

    async def claim(self, limit: int, *, failing: bool) -> list[ClaimedWebhook]:
        """Claim up to ``limit`` webhooks: see ``base_webhooks.WebhookQueue``."""
        rows = await self._long.fetch_all(
            _CLAIM_FAILING if failing else _CLAIM_WELL,
            lease=secrets.randbits(62),
            limit=limit,
            now=self._now,
        )
        return [claimed_webhook(row) for row in rows]

    async def due(self, webhook: ClaimedWebhook) -> list[DueDelivery]:
        """Return some due deliveries: see ``base_webhooks.WebhookQueue``."""
        rows = await self._long.fetch_all(_DUE, id=webhook.id, now=self._now)
        ids = [row[1] for row in rows if row[1] is not None]
        events = await map_events(await self._long.fetch_all(_EVENTS, ids=ids))
        return due_deliveries(rows, events)

    async def record(
        self, webhook: ClaimedWebhook, attempts: Sequence[Attempt], health: WebhookHealth | None
    ) -> bool:
        """Record tries, and renew the lease. Return whether the lease is still held.

        A try and what it says about the webhook become visible together.
        """
        lease = {"id": webhook.id, "lease": webhook.lease, "now": self._now}
        if health is None:
            held = await self._long.execute(_RENEW, **lease)
        else:
            held = await self._long.execute(
                _RECORD_HEALTH,
                failures=health.failures,
                has_recovered=health.has_recovered,
                rest=health.rest or None,
                **lease,
            )
        if held and attempts:
            await self._long.execute(
                _RECORD,
                ids=[attempt.delivery_id for attempt in attempts],
                statuses=[attempt.status for attempt in attempts],
                status_codes=[attempt.status_code for attempt in attempts],
                errors=[attempt.error for attempt in attempts],
                delays=[attempt.delay for attempt in attempts],
                **lease,
            )
        return bool(held)

    async def failing_too_long(self, webhook: ClaimedWebhook) -> bool:
        """Return whether all tries have failed for FAILING_DAYS_MAX."""
        return bool(await self._long.fetch_all(_FAILING_TOO_LONG, id=webhook.id, now=self._now))

    async def switch_off(self, webhook: ClaimedWebhook, reason: str) -> None:
        """Switch a claimed webhook off."""
        await self._run(_SWITCH_OFF, webhook, reason=reason)

    async def release(self, webhook: ClaimedWebhook) -> None:
        """End the lease, and set when the webhook is due next.

        With the lock of its user, so that no delivery is being created that is not seen yet.
        """
        await self._run(_RELEASE, webhook, now=self._now)

    async def _run(
        self, statement: Statement, webhook: ClaimedWebhook, **parameters: object
    ) -> None:
        """Run a statement with the lock of the webhook's user, as a transaction."""
        values = {"id": webhook.id, "lease": webhook.lease} | parameters

        async def work(connection: Connection) -> None:
            async with connection.transaction():
                await connection.execute(_LOCK.text, webhook.user_id)
                await connection.execute(statement.text, *statement.bind(values))

        await self._long.run(statement.name, work, repeats=statement.repeats)

    async def purge(self, days: int, limit: int) -> int:
        """Delete up to ``limit`` deliveries that are older than ``days``. Return how many."""
        return await self._long.execute(_PURGE, now=self._now, days=days, limit=limit)

    async def backlog(self) -> Backlog:
        """Return the number and the age of pending deliveries, in bounded time."""
        [(count, oldest)] = await self._long.fetch_all(_BACKLOG)
        return Backlog(count, oldest)
