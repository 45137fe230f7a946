"""A client of webhooks, and receivers and name servers that do what a test wants."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp.abc import AbstractResolver, ResolveResult

from service.aiohttp_ext.webhook_client import WebhookClient
from service.domain.webhook_addresses import AddressRules, parse_networks

LOOPBACK = AddressRules(parse_networks("127.0.0.0/8"))
PUBLIC = AddressRules()
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Names(AbstractResolver):
    """A name server of the test's, which gives the next answer each time."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        del family
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in answer
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def client(
    rules: AddressRules = LOOPBACK, seconds: float = 5.0, names: AbstractResolver | None = None
) -> AsyncIterator[WebhookClient]:
    made = WebhookClient(rules.is_allowed, rules.is_named, "test", seconds, names)
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def receiver(serve: Serve) -> AsyncIterator[int]:
    """A server on loopback; yields its port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def read_request(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    [length] = [
        int(line.split(":")[1])
        for line in head.splitlines()
        if line.lower().startswith("content-l")
    ]
    return head, await reader.readexactly(length)


def answer(text: str) -> Serve:
    """Answers each request of a connection with the same bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(text.encode())

    return serve
