"""The dispatcher of webhooks: makes the deliveries that the database holds.

A webhook's deliveries are made one after the other, in the order of their ids, by one instance at a
time: the one that has claimed it. A failed try ends the claim, so that a receiver that hangs holds
a place for one try. Webhooks whose latest try failed have half of the places, so they never keep
well ones waiting.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Protocol

import structlog

from service.aiohttp_ext.webhook_client import Reply
from service.domain.clock import Clock
from service.domain.errors import UnavailableError
from service.domain.webhooks import (
    DELAYS,
    FAILING_DAYS_MAX,
    Attempt,
    ClaimedWebhook,
    DueDelivery,
    WebhookHealth,
)
from service.repositories.base_webhooks import LEASE_SECONDS, WebhookQueue
from service.security.webhook_signatures import signed_headers
from service.tasks.periodic import PeriodicTask
from service.telemetry.histogram import Histogram
from service.telemetry.logs import describe

TRY_SECONDS = 15.0
"""Seconds that one try may take, from the look-up of the name to the end of the answer."""

_PLACES = 64  # webhooks that are served at once
_FAILING_PLACES = 32  # of these, for webhooks whose latest try failed
_POLL = 1.0  # seconds; other processes write events, too, and their claims may end by death
_IDLE_POLL = 10.0  # seconds, while no webhook is active
_PASS_PAUSE = 0.02  # seconds between passes, however often the dispatcher is woken
_RECORD_SECONDS = 1.0  # results are written at least that often: a crash repeats what is not
_TURN_SECONDS = 5.0  # after which a webhook leaves its place to others that wait
_RETRY_AFTER_MAX = 86_400
_REST_AFTER, _REST_MAX = 3, 60  # failed tries in a row; seconds
_JITTER = 0.2  # of a delay, added at random, so that failed deliveries do not all come at once
_STOP_SECONDS = 0.5
_LATE = 10.0  # seconds

LATENCIES = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)
"""Bounds of the histogram of tries, in seconds."""

log = structlog.get_logger()


class Client(Protocol):
    """Makes the requests."""

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Reply:
        """Send a request. A failure is a Reply, too."""


class WebhookDispatcher:
    """Claims webhooks with due deliveries, and makes them."""

    def __init__(
        self,
        queue: WebhookQueue,
        client: Client,
        now: Clock,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._queue = queue
        self._client = client
        self._now = now
        self._jitter = jitter
        self._turns: dict[asyncio.Task[None], bool] = {}
        """The running turns, and whether their webhooks were failing when they were claimed."""
        self._is_armed = False
        self._is_stopping = False
        self._claiming = asyncio.Lock()
        self._last_pass = 0.0
        self.results: Counter[str] = Counter(dict.fromkeys(("delivered", "retried", "failed"), 0))
        """Tries since the start: delivered, to be retried, given up."""
        self.latencies = Histogram(LATENCIES)
        """Seconds of each try."""
        self.task = PeriodicTask("webhooks", self._pass)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Dispatch as long as the context lasts. It ends within about a second."""
        async with self.task.running():
            yield
            self._is_stopping = True
            with suppress(TimeoutError):  # a webhook that is being claimed is released below
                async with asyncio.timeout(_STOP_SECONDS), self._claiming:
                    pass
        if self._turns:
            await asyncio.wait(self._turns, timeout=_STOP_SECONDS)
        turns = list(self._turns)
        for turn in turns:
            turn.cancel()
        if turns:
            await asyncio.wait(turns, timeout=_STOP_SECONDS)

    def events_written(self) -> None:
        """Look for due deliveries now, if there are webhooks: an event may have been written."""
        if self._is_armed:
            self.task.wake()

    def look(self) -> None:
        """Look for due deliveries now, also if there was no webhook before."""
        self.task.wake()

    def note(self) -> str | None:
        """Return why no deliveries are made; None if they are."""
        if not self.task.alive:
            return "webhooks: the dispatcher is not running"
        if self.task.failures:
            return f"webhooks: the last {self.task.failures} passes of the dispatcher failed"
        if time.monotonic() > self.task.due + _LATE:
            return "webhooks: the dispatcher is late"
        return None

    async def _pass(self) -> float:
        await asyncio.sleep(self._last_pass + _PASS_PAUSE - time.monotonic())
        state = await self._queue.state()
        self._last_pass = time.monotonic()
        self._is_armed = state.has_webhooks
        if state.delay is not None and state.delay <= 0 and await self._claim():
            return 0
        if not state.has_webhooks:
            return _IDLE_POLL
        if state.delay is None or state.delay <= 0:  # all places are taken: their ends wake
            return _POLL
        return min(state.delay, _POLL)

    async def _claim(self) -> int:
        """Claim webhooks for the free places, and start their turns. Return how many."""
        failing = sum(self._turns.values())
        claimed = 0
        async with self._claiming:
            for is_failing, free in (
                (False, _PLACES - _FAILING_PLACES - (len(self._turns) - failing)),
                (True, _FAILING_PLACES - failing),
            ):
                if free > 0 and not self._is_stopping:
                    for webhook in await self._queue.claim(free, failing=is_failing):
                        self._start(webhook, is_failing=is_failing)
                        claimed += 1
        return claimed

    def _start(self, webhook: ClaimedWebhook, *, is_failing: bool) -> None:
        turn = asyncio.create_task(self._serve(webhook), name=f"webhook {webhook.id}")
        self._turns[turn] = is_failing
        turn.add_done_callback(self._end)

    def _end(self, turn: asyncio.Task[None]) -> None:
        del self._turns[turn]
        self.task.wake()

    async def _serve(self, webhook: ClaimedWebhook) -> None:
        """Make a webhook's due deliveries until none is left, one fails, or its time is up."""
        turn = _Turn(self._queue, webhook)
        try:
            await self._deliver(turn)
        except asyncio.CancelledError:
            pass  # the service stops; what is done is recorded below
        except UnavailableError as error:
            log.warning("webhook turn failed", webhook=webhook.id, error=describe(error))
            return  # the lease expires
        except Exception:
            log.exception("webhook turn failed", webhook=webhook.id)
            return
        with suppress(UnavailableError):
            if await turn.record():
                await self._queue.release(webhook)

    async def _deliver(self, turn: "_Turn") -> None:
        end = time.monotonic() + _TURN_SECONDS
        while not self._is_stopping and time.monotonic() < end:
            deliveries = await self._queue.due(turn.webhook)
            if not deliveries:
                return
            for delivery in deliveries:
                if not await self._try(turn, delivery):
                    return
                if self._is_stopping:
                    return
                if turn.is_record_due and not await turn.record():
                    return
            if not await turn.record():
                return

    async def _try(self, turn: "_Turn", delivery: DueDelivery) -> bool:
        """Try a delivery. Return whether the turn goes on."""
        webhook = turn.webhook
        body = delivery.body(webhook.id)
        if body is None:
            turn.add(Attempt(delivery.id, "failed", None, "The event is no longer kept.", None))
            self.results["failed"] += 1
            return True
        headers = signed_headers(delivery.message_id, int(self._now()), body, webhook.secrets)
        start = time.perf_counter()
        reply = await self._client.post(webhook.url, body, headers)
        self.latencies.observe(time.perf_counter() - start)
        if reply.status is not None and HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
            turn.add(Attempt(delivery.id, "delivered", reply.status, None, None), succeeded=True)
            self.results["delivered"] += 1
            return True
        await self._fail(turn, delivery, reply)
        return False

    async def _fail(self, turn: "_Turn", delivery: DueDelivery, reply: Reply) -> None:
        error = reply.error or f"The answer had the status {reply.status}."
        wait = self._retry_after(reply)
        step = delivery.step + 1
        delay = None
        if step < len(DELAYS):
            delay = max(int(DELAYS[step] * (1 + _JITTER * self._jitter())), wait)
        status: str = "failed" if delay is None else "pending"
        self.results["failed" if delay is None else "retried"] += 1
        turn.add(
            Attempt(delivery.id, status, reply.status, error, delay),  # type: ignore[arg-type] # one of DeliveryStatus
            succeeded=False,
            wait=wait,
        )
        if not await turn.record():
            return
        if reply.status == HTTPStatus.GONE:
            await self._switch_off(turn.webhook, "The receiver answered 410 (Gone).")
        elif await self._queue.failing_too_long(turn.webhook):
            reason = f"All tries have failed for {FAILING_DAYS_MAX} days. The latest: {error}"
            await self._switch_off(turn.webhook, reason)

    async def _switch_off(self, webhook: ClaimedWebhook, reason: str) -> None:
        await self._queue.switch_off(webhook, reason)
        log.info("webhook switched off", webhook=webhook.id, reason=reason)

    def _retry_after(self, reply: Reply) -> int:
        """Return the seconds that the receiver wants to be left alone, a day at most."""
        text = (reply.retry_after or "").strip()
        if text.isdecimal() and text.isascii():
            return min(int(text[:9]), _RETRY_AFTER_MAX)
        try:
            seconds = parsedate_to_datetime(text).timestamp() - self._now()
        except (ValueError, OverflowError, TypeError):
            return 0
        return int(min(max(seconds, 0), _RETRY_AFTER_MAX))


class _Turn:
    """The tries of a claimed webhook that are not recorded yet."""

    def __init__(self, queue: WebhookQueue, webhook: ClaimedWebhook) -> None:
        self.webhook = webhook
        self._queue = queue
        self._attempts: list[Attempt] = []
        self._failures = webhook.failures
        self._health: WebhookHealth | None = None
        self._recorded_at = time.monotonic()
        self._has_recovered = False

    @property
    def is_record_due(self) -> bool:
        """Whether the results have to be written before the next try."""
        return time.monotonic() > self._recorded_at + _RECORD_SECONDS

    def add(self, attempt: Attempt, *, succeeded: bool | None = None, wait: int = 0) -> None:
        """Add a try. ``succeeded`` says what it tells of the receiver, None for nothing."""
        self._attempts.append(attempt)
        if succeeded is None:
            return
        if succeeded:
            self._has_recovered = self._has_recovered or self._failures > 0
            self._failures = 0
        else:
            self._failures += 1
        rest = wait
        if self._failures >= _REST_AFTER:
            rest = max(wait, min(2 ** min(self._failures - _REST_AFTER, 10), _REST_MAX))
        if not succeeded or self._has_recovered:
            self._health = WebhookHealth(self._failures, self._has_recovered, rest)

    async def record(self) -> bool:
        """Write the results, and renew the lease. Return whether the lease is still held."""
        attempts, health = self._attempts, self._health
        if not attempts and time.monotonic() < self._recorded_at + LEASE_SECONDS / 4:
            return True
        held = await self._queue.record(self.webhook, attempts, health)
        self._attempts, self._health, self._has_recovered = [], None, False
        self._recorded_at = time.monotonic()
        return held
