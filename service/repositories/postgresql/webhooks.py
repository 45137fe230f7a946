"""Webhooks as their users see them: the tables ``webhooks`` and ``webhook_deliveries``.

A statement that creates a delivery, or changes whether a webhook is active or when it is due, first
locks the user's row of ``event_subscriptions``, as whatever writes events does.
"""

from service.domain.errors import ConflictError, NotFoundError
from service.domain.paging import Page
from service.domain.types import row_id
from service.domain.webhooks import (
    PREVIOUS_SECRET_HOURS,
    TEST_TYPE,
    WEBHOOKS_MAX,
    Webhook,
    WebhookDelivery,
    WebhookSettings,
)
from service.repositories.list_pages import fetch_page
from service.repositories.postgresql.engine.database import Database
from service.repositories.postgresql.engine.errors import AnswerLostError
from service.repositories.postgresql.engine.statements import (
    NOW_SECOND,
    Connection,
    Row,
    Statement,
    read,
    write,
)
from service.repositories.postgresql.list_pages import list_query
from service.repositories.webhook_rows import (
    TOO_MANY,
    changed_values,
    delivery_of,
    made_delivery,
    only_webhook,
    webhook_of,
)

_COLUMNS = """id, url, events, description, is_active::integer, created_at, failing_since,
           disabled_reason"""

_DELIVERY = """id, event_id, type, status, attempts, created_at, last_attempt_at, status_code,
           error, next_attempt_at"""

_LOCK = write("""-- lock the webhooks of a user
    SELECT FROM event_subscriptions WHERE user_id = :user_id FOR NO KEY UPDATE""")

_LOCK_FIRST = write("""-- lock the webhooks of a user who may have none
    INSERT INTO event_subscriptions (user_id) VALUES (:user_id)
        ON CONFLICT (user_id) DO UPDATE SET webhooks = event_subscriptions.webhooks""")

_CREATE = write(f"""-- create a webhook
    INSERT INTO webhooks (user_id, url, events, description, secret, created_at)
    SELECT :user_id::text, :url, :events, :description, :secret, {NOW_SECOND}
     WHERE (SELECT count(*) FROM webhooks WHERE user_id = :user_id) < :limit
    RETURNING {_COLUMNS}""")

_LIST = read(f"""-- list webhooks
    SELECT {_COLUMNS} FROM webhooks WHERE user_id = :user_id ORDER BY id DESC""")

_GET = read(f"""-- get a webhook
    SELECT {_COLUMNS} FROM webhooks WHERE id = :id AND user_id = :user_id""")

# To switch it on again forgets all failures.
_CHANGE = write(
    f"""-- change a webhook
    UPDATE webhooks
       SET url = CASE WHEN :has_url THEN :url ELSE url END,
           events = CASE WHEN :has_events THEN :events ELSE events END,
           description = CASE WHEN :has_description THEN :description ELSE description END,
           is_active = coalesce(:is_active::boolean, is_active),
           disabled_reason = CASE WHEN :is_active IS NULL THEN disabled_reason END,
           failures = CASE WHEN :is_active THEN 0 ELSE failures END,
           failing_since = CASE WHEN :is_active THEN NULL ELSE failing_since END,
           resume_at = CASE WHEN :is_active THEN NULL ELSE resume_at END,
           due_at = CASE WHEN :is_active IS NULL THEN due_at WHEN :is_active THEN {NOW_SECOND} END
     WHERE id = :id AND user_id = :user_id
    RETURNING {_COLUMNS}""",
    repeats=True,
)

_ROTATE = write(f"""-- rotate the secret of a webhook
    UPDATE webhooks
       SET previous_secret = secret, secret = :secret,
           previous_until = {NOW_SECOND} + interval '{PREVIOUS_SECRET_HOURS} hours'
     WHERE id = :id AND user_id = :user_id
    RETURNING {_COLUMNS}""")

_DELETE = write("""-- delete a webhook
    DELETE FROM webhooks WHERE id = :id AND user_id = :user_id RETURNING id""")

_TEST = write(f"""-- test a webhook
    INSERT INTO webhook_deliveries (webhook_id, type, created_at, next_attempt_at)
    SELECT id, '{TEST_TYPE}', {NOW_SECOND}, {NOW_SECOND} FROM webhooks
     WHERE id = :id AND user_id = :user_id AND is_active
    RETURNING {_DELIVERY}""")

_IS_OWN = """EXISTS (SELECT FROM webhooks
                    WHERE webhooks.id = webhook_deliveries.webhook_id
                      AND webhooks.user_id = :user_id)"""

_DELIVERIES = list_query(
    "deliveries",
    _DELIVERY,
    "webhook_deliveries",
    owner="webhook_id",
    where=f"{_IS_OWN} AND (:status::text IS NULL OR status = :status)",
)

_RETRY = write(
    f"""-- retry a delivery
    UPDATE webhook_deliveries SET status = 'pending', step = 0, next_attempt_at = {NOW_SECOND}
     WHERE id = :delivery_id AND webhook_id = :id AND EXISTS (
           SELECT FROM webhooks WHERE id = :id AND user_id = :user_id AND is_active)
    RETURNING {_DELIVERY}""",
    repeats=True,
)


class PostgresqlWebhooks:
    """The table of webhooks: see ``base_webhooks.WebhookRepository``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lookups, self._long, self._now = database.lookups, database.long, database.now

    async def create(self, user_id: str, settings: WebhookSettings, secret: str) -> Webhook:
        """Create a webhook. Raises ConflictError if the user has WEBHOOKS_MAX of them."""
        rows = await self._run(
            _CREATE,
            user_id,
            lock=_LOCK_FIRST,
            url=settings.url,
            events=settings.events_json,
            description=settings.description,
            secret=secret,
            limit=WEBHOOKS_MAX,
        )
        if not rows:
            raise ConflictError(TOO_MANY)
        return webhook_of(rows[0])

    async def list_all(self, user_id: str) -> list[Webhook]:
        """Return a user's webhooks, newest first."""
        rows = await self._long.fetch_all(_LIST, caller=user_id, user_id=user_id)
        return [webhook_of(row) for row in rows]

    async def get(self, user_id: str, webhook_id: str) -> Webhook:
        """Return a user's webhook. Raises NotFoundError."""
        key = {"user_id": user_id, "id": row_id(webhook_id)}
        return only_webhook(await self._long.fetch_all(_GET, caller=user_id, **key))

    async def change(self, user_id: str, webhook_id: str, settings: WebhookSettings) -> Webhook:
        """Change a user's webhook: see ``base_webhooks.WebhookRepository``."""
        return only_webhook(
            await self._run(
                _CHANGE,
                user_id,
                lock=_LOCK,
                id=row_id(webhook_id),
                **changed_values(settings),
            )
        )

    async def rotate(self, user_id: str, webhook_id: str, secret: str) -> Webhook:
        """Give a user's webhook a new secret. Raises NotFoundError."""
        return only_webhook(await self._run(_ROTATE, user_id, id=row_id(webhook_id), secret=secret))

    async def delete(self, user_id: str, webhook_id: str) -> None:
        """Delete a user's webhook. Raises NotFoundError."""
        try:
            rows = await self._run(_DELETE, user_id, id=row_id(webhook_id))
        except AnswerLostError:  # if nothing is found now, the webhook was deleted then
            await self._run(_DELETE, user_id, id=row_id(webhook_id))
            await self._database.confirm()
            return
        if not rows:
            raise NotFoundError("No such webhook.")

    async def test(self, user_id: str, webhook_id: str) -> WebhookDelivery:
        """Make the delivery of a test message: see ``base_webhooks.WebhookRepository``."""
        webhook = await self.get(user_id, webhook_id)
        rows = await self._run(_TEST, user_id, id=row_id(webhook_id))
        return made_delivery(rows, webhook, "No such webhook.")

    async def list_deliveries(
        self, user_id: str, webhook_id: str, page: Page, status: str | None
    ) -> tuple[list[WebhookDelivery], Page | None]:
        """Return a page of a webhook's deliveries, newest first. Raises NotFoundError."""
        await self.get(user_id, webhook_id)
        rows, following = await fetch_page(
            self._long.fetch_all,
            _DELIVERIES,
            page,
            is_filtered=status is not None,
            caller=user_id,
            user_id=user_id,
            webhook_id=row_id(webhook_id),
            status=status,
        )
        return [delivery_of(row) for row in rows], following

    async def retry(self, user_id: str, webhook_id: str, delivery_id: str) -> WebhookDelivery:
        """Make a delivery due now: see ``base_webhooks.WebhookRepository``."""
        webhook = await self.get(user_id, webhook_id)
        rows = await self._run(
            _RETRY, user_id, id=row_id(webhook_id), delivery_id=row_id(delivery_id)
        )
        return made_delivery(rows, webhook, "No such delivery.")

    async def _run(
        self, statement: Statement, user_id: str, lock: Statement = _LOCK, **parameters: object
    ) -> list[Row]:
        """Run a statement with the lock of the user, as a transaction."""
        owner = {"user_id": user_id}
        parameters = parameters | owner | {"now": self._now}

        async def work(connection: Connection) -> list[Row]:
            async with connection.transaction():
                await connection.execute(lock.text, *lock.bind(owner))
                rows: list[Row] = await connection.fetch(
                    statement.text, *statement.bind(parameters)
                )
                return rows

        rows: list[Row] = await self._long.run(
            statement.name, work, repeats=statement.repeats, caller=user_id
        )
        return rows
