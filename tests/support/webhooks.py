"""A receiver of webhooks on loopback, and what tests ask of a service that calls it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from service.config import Config
from service.web.app_keys import WEBHOOKS
from support.harness import Caller, Service

NETWORKS = (ip_network("127.0.0.0/8"),)
PATIENCE = 20.0  # seconds


def with_loopback(config: Config) -> Config:
    """The configuration of a service whose webhooks may be on loopback."""
    return replace(config, webhook_networks=NETWORKS)


@dataclass(frozen=True)
class Message:
    """A request that a receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """Keeps what it gets, and answers as it is told, by the path of the request."""

    url: str = ""
    messages: list[Message] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    hangs: set[str] = field(default_factory=set)
    """The paths that get no answer until they are taken out."""
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.messages.append(Message(request.path, headers, await request.read()))
        self.arrived.set()
        if request.path in self.hangs:
            await self.closing.wait()
        return web.Response(status=self.statuses.get(request.path, 200), headers=self.headers)

    def at(self, path: str) -> list[Message]:
        return [message for message in self.messages if message.path == path]

    async def wait_for(self, count: int, path: str = "/") -> list[Message]:
        """Wait until so many messages have come to a path."""
        async with asyncio.timeout(PATIENCE):
            while len(self.at(path)) < count:
                self.arrived.clear()
                await self.arrived.wait()
        return self.at(path)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that answers 200."""
    made = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0)
    made.url = str(server.make_url("/"))
    try:
        yield made
    finally:
        made.closing.set()
        await server.close()


async def hook(caller: Caller, url: str, **fields: Any) -> Any:
    """Create a webhook; returns the answer's JSON."""
    answer = await caller.post("/api/webhooks", {"url": url} | fields)
    assert answer.status == 201, answer.body
    return answer.json


async def deliveries(caller: Caller, webhook: Any, query: str = "") -> list[Any]:
    """The deliveries of a webhook, oldest first."""
    answer = await caller.get(f"/api/webhooks/{webhook['id']}/deliveries?limit=200{query}")
    assert answer.status == 200, answer.body
    return list(reversed(answer.json))


async def settled(
    caller: Caller, webhook: Any, is_settled: Callable[[list[Any]], bool] | None = None
) -> list[Any]:
    """Wait until the deliveries of a webhook are what they are to be: by default all delivered."""

    def delivered(rows: list[Any]) -> bool:
        return all(row["status"] == "delivered" for row in rows)

    async with asyncio.timeout(PATIENCE):
        while not (is_settled or delivered)(rows := await deliveries(caller, webhook)):
            await asyncio.sleep(0.01)
    return rows


async def advance(service: Service, seconds: float) -> None:
    """Turn the clock, and let the dispatcher look."""
    await service.advance(seconds)
    service.app[WEBHOOKS].look()


def tried(count: int) -> Callable[[list[Any]], bool]:
    """Whether every delivery has been tried so often."""
    return lambda rows: all(row["attempts"] >= count for row in rows)


failed_once = tried(1)
