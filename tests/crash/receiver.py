"""The receiver of a storm's webhook, and what must hold of what it was sent."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from aiohttp import web
from calls import Event
from operations import USER
from support.process import run

TYPES = ("shared_report.revoked", "shared_report.rotated", "video.replaced")
"""Few enough that one delivery after the other keeps up with the storm."""
_QUIET = 60.0
"""Seconds without a message after which no more are waited for; a dead claim ends after 30 s."""


@dataclass(frozen=True)
class Message:
    """What a webhook was sent."""

    event_id: int
    body: dict[str, object]
    is_genuine: bool


class Receiver:
    """Takes messages, at its own pace, and forgets some before it answers."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._secret = b""
        self.url = ""
        self.messages: list[Message] = []
        self._latest = time.monotonic()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Receive as long as the context lasts."""
        app = web.Application()
        app.router.add_post("/", self._receive)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
            yield
        finally:
            await runner.cleanup()

    def subscribe(self, folder: Path) -> None:
        """Create the webhook in the database of ``folder``."""
        types = [option for event_type in TYPES for option in ("--event", event_type)]
        made = run(
            *("webhooks", "create", self.url, "--user", USER, "--json", *types),
            folder=folder,
            WEBHOOK_NETWORKS="127.0.0.0/8",
        )
        assert made.returncode == 0, made.stderr
        secret = json.loads(made.stdout)["secret"]
        self._secret = base64.b64decode(secret.removeprefix("whsec_"))

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        message_id = request.headers["webhook-id"]
        content = f"{message_id}.{request.headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.digest(self._secret, content, hashlib.sha256)).decode()
        is_genuine = request.headers["webhook-signature"] == f"v1,{expected}"
        self.messages.append(Message(int(message_id.split("_")[1]), json.loads(body), is_genuine))
        self._latest = time.monotonic()
        if self._random.random() < 0.05:
            await asyncio.sleep(self._random.uniform(0, 0.05))
        return web.Response(status=204)

    async def wait_for(self, events: Sequence[Event]) -> None:
        """Return when a message of each event came, or none has come for a long time."""
        self._latest = time.monotonic()
        wanted = {event.id for event in events if event.type in TYPES}
        while not wanted <= {message.event_id for message in self.messages}:
            if time.monotonic() > self._latest + _QUIET:
                return
            await asyncio.sleep(0.1)


def broken_deliveries(messages: Sequence[Message], events: Sequence[Event]) -> Iterator[str]:
    """What is wrong with the messages, by the events that there were in the end.

    Each event was delivered, nothing else was, and for the first time in the order of the events.
    """
    wanted = {event.id: event for event in events if event.type in TYPES}
    first = list(dict.fromkeys(message.event_id for message in messages))
    if lost := sorted(wanted.keys() - set(first)):
        yield f"{len(lost)} of {len(wanted)} events were not delivered: {lost[:10]}"
    if made_up := sorted(set(first) - wanted.keys()):
        yield f"{len(made_up)} deliveries of no event: {made_up[:10]}"
    if first != sorted(first):
        late = [each for each, before in zip(first[1:], first, strict=False) if each < before]
        yield f"{len(late)} deliveries after a later one: {late[:10]}"
    for message in messages:
        event = wanted.get(message.event_id)
        if not message.is_genuine:
            yield f"a wrong signature: {message}"
        if event is not None and (message.body["type"], message.body["data"]) != (
            event.type,
            event.data,
        ):
            yield f"{message} is not {event}"
