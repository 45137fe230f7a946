"""The interfaces of the storage of webhooks: see ``repositories.base``.

No method makes the delivery of an event: a trigger of the database does, in the transaction that
writes the event.
"""

from collections.abc import Sequence
from typing import Protocol

from service.domain.paging import Page
from service.domain.webhooks import (
    Attempt,
    Backlog,
    ClaimedWebhook,
    DueDelivery,
    QueueState,
    Webhook,
    WebhookDelivery,
    WebhookHealth,
    WebhookSettings,
)


class WebhookRepository(Protocol):
    """The table of webhooks, and their user's look at the deliveries."""

    async def create(self, user_id: str, settings: WebhookSettings, secret: str) -> Webhook:
        """Create a webhook. Raises ConflictError if the user has WEBHOOKS_MAX of them."""

    async def list_all(self, user_id: str) -> list[Webhook]:
        """Return a user's webhooks, newest first."""

    async def get(self, user_id: str, webhook_id: str) -> Webhook:
        """Return a user's webhook. Raises NotFoundError."""

    async def change(self, user_id: str, webhook_id: str, settings: WebhookSettings) -> Webhook:
        """Change a user's webhook. Raises NotFoundError.

        To switch it on makes its pending deliveries due, and forgets why it was switched off.
        """

    async def rotate(self, user_id: str, webhook_id: str, secret: str) -> Webhook:
        """Give a user's webhook a new secret. Raises NotFoundError.

        The one before signs as well for PREVIOUS_SECRET_HOURS.
        """

    async def delete(self, user_id: str, webhook_id: str) -> None:
        """Delete a user's webhook. Raises NotFoundError.

        No try of a delivery begins later than some seconds after this returned.
        """

    async def test(self, user_id: str, webhook_id: str) -> WebhookDelivery:
        """Make the delivery of a test message.

        Raises NotFoundError, and ConflictError if the webhook is off.
        """

    async def list_deliveries(
        self, user_id: str, webhook_id: str, page: Page, status: str | None
    ) -> tuple[list[WebhookDelivery], Page | None]:
        """Return a page of a webhook's deliveries, newest first. Raises NotFoundError."""

    async def retry(self, user_id: str, webhook_id: str, delivery_id: str) -> WebhookDelivery:
        """Make a delivery due now, whatever became of it, with the whole schedule before it.

        Raises NotFoundError, and ConflictError if the webhook is off.
        """


class WebhookQueue(Protocol):
    """The deliveries as the dispatchers see them.

    A dispatcher claims a webhook for LEASE_SECONDS, by the clock of the database. Whatever it
    writes with its lease is written only while no other has claimed the webhook since.
    """

    async def state(self) -> QueueState:
        """Return when there is something to claim."""

    async def claim(self, limit: int, *, failing: bool) -> list[ClaimedWebhook]:
        """Claim up to ``limit`` webhooks with due deliveries, longest due first.

        Either those whose latest try failed, or the others.
        """

    async def due(self, webhook: ClaimedWebhook) -> list[DueDelivery]:
        """Return some due deliveries: new ones in the order of their ids, then failed ones."""

    async def record(
        self, webhook: ClaimedWebhook, attempts: Sequence[Attempt], health: WebhookHealth | None
    ) -> bool:
        """Record tries, and renew the lease. Return whether the lease is still held."""

    async def failing_too_long(self, webhook: ClaimedWebhook) -> bool:
        """Return whether all tries have failed for FAILING_DAYS_MAX."""

    async def switch_off(self, webhook: ClaimedWebhook, reason: str) -> None:
        """Switch a claimed webhook off."""

    async def release(self, webhook: ClaimedWebhook) -> None:
        """End the lease, and set when the webhook is due next."""

    async def purge(self, days: int, limit: int) -> int:
        """Delete up to ``limit`` deliveries that are older than ``days``. Return how many."""

    async def backlog(self) -> Backlog:
        """Return the number and the age of pending deliveries, in bounded time."""


LEASE_SECONDS = 60
"""Seconds for which a webhook is claimed. A try takes 15 s at most, and renews it."""

FRESH_AT_ONCE, RETRIES_AT_ONCE = 50, 10
"""Deliveries that one read of a queue returns: new ones, and failed ones that are due again."""
