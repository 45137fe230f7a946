"""Webhooks as their users see them: the tables ``webhooks`` and ``webhook_deliveries``."""

from service.domain.clock import Now
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
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.list_pages import list_query
from service.repositories.webhook_rows import (
    TOO_MANY,
    changed_values,
    delivery_of,
    made_delivery,
    only_webhook,
    webhook_of,
)

_COLUMNS = """id, url, events, description, is_active, created_at, failing_since,
           disabled_reason"""

_DELIVERY = """id, event_id, type, status, attempts, created_at, last_attempt_at, status_code,
           error, next_attempt_at"""

_CREATE = f"""-- create a webhook
    INSERT INTO webhooks (user_id, url, events, description, secret, created_at)
    SELECT :user_id, :url, :events, :description, :secret, :now
     WHERE (SELECT count(*) FROM webhooks WHERE user_id = :user_id) < :limit
    RETURNING {_COLUMNS}"""

_LIST = f"""-- list webhooks
    SELECT {_COLUMNS} FROM webhooks WHERE user_id = :user_id ORDER BY id DESC"""

_GET = f"""-- get a webhook
    SELECT {_COLUMNS} FROM webhooks WHERE id = :id AND user_id = :user_id"""

# To switch it on again forgets all failures.
_CHANGE = f"""-- change a webhook
    UPDATE webhooks
       SET url = CASE WHEN :has_url THEN :url ELSE url END,
           events = CASE WHEN :has_events THEN :events ELSE events END,
           description = CASE WHEN :has_description THEN :description ELSE description END,
           is_active = ifnull(:is_active, is_active),
           disabled_reason = CASE WHEN :is_active IS NULL THEN disabled_reason END,
           failures = CASE WHEN :is_active THEN 0 ELSE failures END,
           failing_since = CASE WHEN :is_active THEN NULL ELSE failing_since END,
           resume_at = CASE WHEN :is_active THEN NULL ELSE resume_at END,
           due_at = CASE WHEN :is_active IS NULL THEN due_at WHEN :is_active THEN :now END
     WHERE id = :id AND user_id = :user_id
    RETURNING {_COLUMNS}"""

_ROTATE = f"""-- rotate the secret of a webhook
    UPDATE webhooks
       SET previous_secret = secret, secret = :secret,
           previous_until = strftime('%Y-%m-%dT%H:%M:%S', :now, '+{PREVIOUS_SECRET_HOURS} hours')
     WHERE id = :id AND user_id = :user_id
    RETURNING {_COLUMNS}"""

_DELETE = """-- delete a webhook
    DELETE FROM webhooks WHERE id = :id AND user_id = :user_id RETURNING id"""

_TEST = f"""-- test a webhook
    INSERT INTO webhook_deliveries (webhook_id, type, created_at, next_attempt_at)
    SELECT id, '{TEST_TYPE}', :now, :now FROM webhooks
     WHERE id = :id AND user_id = :user_id AND is_active = 1
    RETURNING {_DELIVERY}"""

_IS_OWN = """EXISTS (SELECT 1 FROM webhooks
                    WHERE webhooks.id = webhook_deliveries.webhook_id
                      AND webhooks.user_id = :user_id)"""

_DELIVERIES = list_query(
    "deliveries",
    _DELIVERY,
    "webhook_deliveries",
    index="webhook_id = :webhook_id",
    where=f"{_IS_OWN} AND (:status IS NULL OR status = :status)",
)

_RETRY = f"""-- retry a delivery
    UPDATE webhook_deliveries SET status = 'pending', step = 0, next_attempt_at = :now
     WHERE id = :delivery_id AND webhook_id = :id AND EXISTS (
           SELECT 1 FROM webhooks WHERE id = :id AND user_id = :user_id AND is_active = 1)
    RETURNING {_DELIVERY}"""


class SqliteWebhooks:
    """The table of webhooks: see ``base_webhooks.WebhookRepository``."""

    def __init__(self, database: Database, now: Now) -> None:
        self._reader, self._read_worker = database.reader, database.read_worker
        self._writer = database.writer
        self._now = now

    async def create(self, user_id: str, settings: WebhookSettings, secret: str) -> Webhook:
        """Create a webhook. Raises ConflictError if the user has WEBHOOKS_MAX of them."""
        rows = await self._writer.fetch_all(
            _CREATE,
            user_id=user_id,
            url=settings.url,
            events=settings.events_json,
            description=settings.description,
            secret=secret,
            now=self._now,
            limit=WEBHOOKS_MAX,
        )
        if not rows:
            raise ConflictError(TOO_MANY)
        return webhook_of(rows[0])

    async def list_all(self, user_id: str) -> list[Webhook]:
        """Return a user's webhooks, newest first."""
        return [webhook_of(row) for row in self._reader.fetch_all(_LIST, user_id=user_id)]

    async def get(self, user_id: str, webhook_id: str) -> Webhook:
        """Return a user's webhook. Raises NotFoundError."""
        return only_webhook(self._reader.fetch_all(_GET, user_id=user_id, id=row_id(webhook_id)))

    async def change(self, user_id: str, webhook_id: str, settings: WebhookSettings) -> Webhook:
        """Change a user's webhook: see ``base_webhooks.WebhookRepository``."""
        return only_webhook(
            await self._writer.fetch_all(
                _CHANGE,
                user_id=user_id,
                id=row_id(webhook_id),
                now=self._now,
                **changed_values(settings),
            )
        )

    async def rotate(self, user_id: str, webhook_id: str, secret: str) -> Webhook:
        """Give a user's webhook a new secret. Raises NotFoundError."""
        return only_webhook(
            await self._writer.fetch_all(
                _ROTATE, user_id=user_id, id=row_id(webhook_id), secret=secret, now=self._now
            )
        )

    async def delete(self, user_id: str, webhook_id: str) -> None:
        """Delete a user's webhook. Raises NotFoundError."""
        if not await self._writer.fetch_all(_DELETE, user_id=user_id, id=row_id(webhook_id)):
            raise NotFoundError("No such webhook.")

    async def test(self, user_id: str, webhook_id: str) -> WebhookDelivery:
        """Make the delivery of a test message: see ``base_webhooks.WebhookRepository``."""
        webhook = await self.get(user_id, webhook_id)
        rows = await self._writer.fetch_all(
            _TEST, user_id=user_id, id=row_id(webhook_id), now=self._now
        )
        return made_delivery(rows, webhook, "No such webhook.")

    async def list_deliveries(
        self, user_id: str, webhook_id: str, page: Page, status: str | None
    ) -> tuple[list[WebhookDelivery], Page | None]:
        """Return a page of a webhook's deliveries, newest first. Raises NotFoundError."""
        await self.get(user_id, webhook_id)
        rows, following = await fetch_page(
            self._read_worker.fetch_all,
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
        rows = await self._writer.fetch_all(
            _RETRY,
            user_id=user_id,
            id=row_id(webhook_id),
            delivery_id=row_id(delivery_id),
            now=self._now,
        )
        return made_delivery(rows, webhook, "No such delivery.")
