"""The client of webhooks connects to no address that it may not, whatever names and URLs say."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator

import pytest
from support.docs import ROOT
from support.webhook_client import LOOPBACK, PUBLIC, Names, answer, client, receiver

from service.aiohttp_ext.webhook_client import Reply, WebhookClient

CERTIFICATE = ROOT / "tests/data/self-signed.pem"
REFUSED = "The host's address is not public, or not one that may be called."


@pytest.fixture
async def private() -> AsyncIterator[int]:
    """A server of the private network that no request may reach; yields its port."""

    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(0)
        writer.close()

    reached: list[int] = []
    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    assert not reached


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "017700000001"),
        *("127.0.0.1.", "0.0.0.0", "0", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
        *("localhost", "localhost.", "LOCALHOST", "[::1%25lo]", "x.localhost"),
        *("user:password@127.0.0.1", "example.com@127.0.0.1", "127\u30020\u30020\u30021"),
        *("\u2460\u2461\u2466.0.0.1", "[0:0:0:0:0:ffff:127.0.0.1]", "a" * 300, "a..b"),
    ],
)
async def test_client_never_connects_to_a_private_address(private: int, host: str) -> None:
    """The name server of the machine and all its spellings of addresses are real."""
    async with client(PUBLIC) as sender:
        for scheme in ("https", "http"):
            reply = await sender.post(f"{scheme}://{host}:{private}/", b"{}", {})
            assert reply.status is None
            assert reply.error


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "0.0.0.0"),
        *("::1", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
    ],
)
async def test_client_refuses_what_a_name_resolves_to(private: int, address: str) -> None:
    names = Names([address])
    async with client(PUBLIC, names=names) as sender:
        reply = await sender.post(f"https://innocent.example:{private}/", b"{}", {})
    assert names.asked == ["innocent.example"]
    assert reply == Reply(error=REFUSED)


async def test_client_refuses_all_addresses_of_a_name_at_once(private: int) -> None:
    async with client(PUBLIC, names=Names(["127.0.0.1", "::1", "10.0.0.1"])) as sender:
        reply = await sender.post(f"https://innocent.example:{private}/", b"{}", {})
    assert reply == Reply(error=REFUSED)


async def test_client_checks_each_answer_of_a_name_server_that_changes_its_mind(
    private: int,
) -> None:
    """The address that is connected to is the one that is checked: there is no second look-up."""
    asked: list[str] = []

    def is_allowed(address: str) -> bool:
        asked.append(address)
        return PUBLIC.is_allowed(address)

    names = Names(["192.0.2.1"], ["127.0.0.1"])
    sender = WebhookClient(is_allowed, PUBLIC.is_named, "test", 5.0, names)
    for _ in range(2):
        reply = await sender.post(f"https://innocent.example:{private}/", b"{}", {})
        assert reply == Reply(error=REFUSED)
    await sender.close()
    assert asked == ["192.0.2.1", "127.0.0.1"]


async def test_client_uses_http_only_within_the_networks_that_are_named() -> None:
    async with receiver(answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as port:
        async with client(PUBLIC, names=Names(["127.0.0.1"])) as sender:
            refused = await sender.post(f"http://name.example:{port}/", b"{}", {})
        async with client(LOOPBACK, names=Names(["127.0.0.1"])) as sender:
            allowed = await sender.post(f"http://name.example:{port}/", b"{}", {})
        async with client(LOOPBACK, names=Names(["1.1.1.1"])) as sender:
            public = await sender.post(f"http://name.example:{port}/", b"{}", {})
    assert (refused, allowed, public) == (Reply(error=REFUSED), Reply(200), Reply(error=REFUSED))


async def test_client_speaks_tls_to_the_host_name() -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(2_000))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with receiver(serve) as port, client(names=Names(["127.0.0.1"])) as sender:
        reply = await sender.post(f"https://name.example:{port}/", b"{}", {})
    assert reply == Reply(error="No TLS connection could be made.")
    assert b"name.example" in seen[0]  # the name of the URL, not the address, is asked for


async def test_client_sends_nothing_to_a_server_without_a_trusted_certificate() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with client(names=Names(["127.0.0.1"])) as sender:
        reply = await sender.post(f"https://name.example:{port}/", b"{}", {})
    server.close()
    assert reply == Reply(error="The certificate is not valid for this host.")
    assert not any(seen)


async def test_client_gives_up_on_a_name_server_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends = threading.Event()

    def hang(*_: object, **__: object) -> None:
        ends.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "x")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    async with client(seconds=0.1) as sender:
        reply = await sender.post("https://hangs.example/", b"{}", {})
    ends.set()
    assert reply == Reply(error="No answer within 0.1 s.")


async def test_client_reports_a_name_that_is_unknown() -> None:
    async with client() as sender:
        reply = await sender.post("https://no-such-name.invalid/", b"{}", {})
    assert reply == Reply(error="The host name could not be resolved.")
