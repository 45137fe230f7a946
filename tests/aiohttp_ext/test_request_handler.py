"""The protocol of a connection: what it parses of a body, and when."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from aiohttp import StreamReader
from support.harness import Service
from support.process import PATIENCE

CHUNKS = 20_000
TURN_MAX = 600  # chunks of one body that are parsed in a turn of the event loop
HEAD = b"POST /%s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


class ParsedChunks:
    """How many chunks are parsed in each turn of the event loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.turn = 0
        self.by_turn: Counter[int] = Counter()
        parse = StreamReader.end_http_chunk_receiving

        def count(reader: StreamReader) -> None:
            self.by_turn[self.turn] += 1
            parse(reader)

        monkeypatch.setattr(StreamReader, "end_http_chunk_receiving", count)

    async def count_turns(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.turn += 1


@pytest.fixture
async def parsed(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ParsedChunks]:
    chunks = ParsedChunks(monkeypatch)
    counting = asyncio.create_task(chunks.count_turns())
    yield chunks
    counting.cancel()


async def post(service: Service, path: bytes, body: bytes) -> bytes:
    server = service.client.server
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(HEAD % path + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return answer


async def test_handler_parses_no_chunk_after_its_response(
    service: Service, parsed: ParsedChunks
) -> None:
    answer = await post(service, b"livez", b"1\r\nx\r\n" * CHUNKS)
    assert b"\r\nConnection: close\r\n" in answer
    for _ in range(1000):
        await asyncio.sleep(0)
    assert 0 < parsed.by_turn.total() <= TURN_MAX


async def test_handler_parses_few_chunks_in_a_turn_of_the_loop(
    service: Service, parsed: ParsedChunks
) -> None:
    await service.alice.put_video()
    share_hash = (await service.alice.share(password="x"))["share_hash"]
    path = f"api/shared-reports/{share_hash}/unlock".encode()
    body = b"1\r\n \r\n" * CHUNKS + b"2\r\n{}\r\n0\r\n\r\n"
    answers = await asyncio.gather(*(post(service, path, body) for _ in range(3)))
    assert all(answer.startswith(b"HTTP/1.1 4") for answer in answers)
    assert parsed.by_turn.total() >= 3 * CHUNKS
    # Each body begins in a turn that may be another's, and goes on in one of its own.
    assert max(parsed.by_turn.values()) <= 3 * TURN_MAX


async def test_handler_keeps_a_connection_whose_chunks_were_all_read(service: Service) -> None:
    answer = await post(service, b"livez", b"1\r\nx\r\n" * 3 + b"0\r\n\r\n")
    assert b"\r\nConnection:" not in answer


@pytest.mark.parametrize("chunks", range(510, 516))
async def test_handler_answers_pipelined_bodies_that_pause_it(
    service: Service, chunks: int
) -> None:
    """A body may pause parsing with its last chunk, with the next request behind it."""
    server = service.client.server
    reader, writer = await asyncio.open_connection(server.host, server.port)
    head = (
        HEAD[:-2] % b"api/shared-reports" + f"Authorization: {service.alice.key}\r\n\r\n".encode()
    )
    writer.write(3 * (head + b"1\r\n \r\n" * chunks + b"2\r\n{}\r\n0\r\n\r\n"))
    for _ in range(3):
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        assert answer.startswith(b"HTTP/1.1 4")
        await reader.readexactly(int(answer.partition(b"Content-Length: ")[2].split()[0]))
    writer.close()
