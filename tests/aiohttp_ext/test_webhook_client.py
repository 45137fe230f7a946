"""The client of webhooks against receivers that do what they want, on real sockets."""

import asyncio
import gzip

import pytest
from support.webhook_client import answer, client, read_request, receiver

from service.aiohttp_ext.webhook_client import Reply


async def post(port: int, path: str = "/") -> Reply:
    async with client() as sender:
        return await sender.post(f"http://127.0.0.1:{port}{path}", b"{}", {})


async def test_client_sends_the_body_and_the_headers_as_they_are() -> None:
    seen: list[tuple[str, bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with receiver(serve) as port, client() as sender:
        url = f"http://127.0.0.1:{port}/a%2Fb?x=%40&y=1"
        reply = await sender.post(url, b'{"a":1}', {"webhook-id": "evt_1"})
    assert reply == Reply(204)
    [(head, body)] = seen
    assert head.startswith("POST /a%2Fb?x=%40&y=1 HTTP/1.1\r\n")
    assert "webhook-id: evt_1\r\n" in head
    assert "Content-Type: application/json\r\n" in head
    assert body == b'{"a":1}'
    assert not {"authorization", "cookie"} & {line.split(":")[0].lower() for line in head.split()}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_client_follows_no_redirect(status: int) -> None:
    followed: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await read_request(reader)
            followed.append(head.split()[1])
            writer.write(
                f"HTTP/1.1 {status} x\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n".encode()
            )

    async with receiver(serve) as port:
        assert await post(port, "/a") == Reply(status)
    assert followed == ["/a"]


async def test_client_reads_the_time_to_wait() -> None:
    text = "HTTP/1.1 503 x\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n"
    async with receiver(answer(text)) as port:
        assert await post(port) == Reply(503, "120")


async def test_client_gives_up_on_a_receiver_that_hangs() -> None:
    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()  # until the client hangs up
        await reader.read()

    async with receiver(serve) as port, client(seconds=0.2) as sender:
        reply = await sender.post(f"http://127.0.0.1:{port}/", b"{}", {})
    assert reply == Reply(error="No answer within 0.2 s.")


async def test_client_gives_up_on_an_answer_that_drips() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"X: y\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with receiver(serve) as port, client(seconds=0.2) as sender:
        reply = await sender.post(f"http://127.0.0.1:{port}/", b"{}", {})
    assert reply == Reply(error="No answer within 0.2 s.")


async def test_client_reads_64_kib_of_an_answer_and_hangs_up() -> None:
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        writer.transport.set_write_buffer_limits(0)
        while not writer.is_closing():
            writer.write(b"x" * 2**16)
            sent += 2**16
            await writer.drain()

    async with receiver(serve) as port:
        assert await post(port) == Reply(200)
    assert sent < 2**24  # what the sockets' buffers take


async def test_client_expands_no_compressed_answer() -> None:
    bomb = gzip.compress(bytes(10_000_000))
    assert len(bomb) < 2**16

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        assert "Accept-Encoding: identity" in head
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
            % (len(bomb), bomb)
        )

    async with receiver(serve) as port:
        assert await post(port) == Reply(200)


@pytest.mark.parametrize(
    "text",
    [
        "HTTP/1.1 200 OK\r\n" + "X-Long: " + "x" * 20_000 + "\r\n\r\n",
        "HTTP/1.1 200 OK\r\n" + "".join(f"X-{n}: y\r\n" for n in range(20_000)) + "\r\n",
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
async def test_client_reports_an_answer_that_is_not_http(text: str) -> None:
    async with receiver(answer(text)) as port:
        assert await post(port) == Reply(error="The answer was not valid HTTP.")


async def test_client_reports_a_connection_that_is_closed_or_refused() -> None:
    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await read_request(reader)

    async with receiver(serve) as port:
        assert await post(port) == Reply(error="The connection was closed without an answer.")
    assert await post(port) == Reply(error="The connection was refused.")


async def test_client_tries_again_if_a_kept_connection_was_closed() -> None:
    """A receiver that closes idle connections is well: that is no failed try."""
    connections: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(0)
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await read_request(reader)  # and closes

    async with receiver(serve) as port, client() as sender:
        for _ in range(3):
            assert await sender.post(f"http://127.0.0.1:{port}/", b"{}", {}) == Reply(200)
    assert len(connections) == 3


async def test_client_keeps_a_connection_that_was_read_to_its_end() -> None:
    connections: list[int] = []
    serve_all = answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(0)
        await serve_all(reader, writer)

    async with receiver(serve) as port, client() as sender:
        for _ in range(3):
            assert await sender.post(f"http://127.0.0.1:{port}/", b"{}", {}) == Reply(200)
    assert len(connections) == 1
