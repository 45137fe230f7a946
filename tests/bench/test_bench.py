"""The benchmark's load generator: what it counts is what happened."""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import parties
import postgres
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from scenarios import SCENARIOS, check
from tables import CACHE, Size, make_table

LOAD = Path(__file__).parent / "load.py"
GET = "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
async def port() -> Any:
    async def answer(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name == "close":
            response = web.Response()
            response.force_close()
            return response
        if name == "chunked":
            parts = web.StreamResponse()
            await parts.prepare(request)
            for part in (b"a", b"\r\n", b"c" * 1_000_000):
                await parts.write(part)
                await asyncio.sleep(0)
            return parts
        return web.Response(status=int(name), body=b"x" * 1_000_000 if name == "200" else None)

    app = web.Application()
    app.router.add_get("/{name}", answer)
    async with TestServer(app) as server:
        yield server.port


async def load(port: int, *lines: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What the generator answers to jobs; None is the line that ends one."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, LOAD, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    job = {"port": port, "connections": 2, "seconds": 30.0}
    for line in lines:
        process.stdin.write(f"{json.dumps(job | line) if line else ''}\n".encode())
    answers = [json.loads(await process.stdout.readline()) for line in lines if line]
    process.stdin.close()
    assert await process.wait() == 0
    return answers


def stream(status: int, *values: str, kind: str = "any", weight: int = 1) -> dict[str, Any]:
    """A stream that ends when its values are used up."""
    given = {"kind": kind, "status": status, "request": GET, "values": values}
    return given | {"weight": weight, "once": True}


async def test_load_counts_responses_with_the_expected_status(port: int) -> None:
    values = ["200", "chunked"] * 5
    [done] = await load(port, {"streams": [stream(200, *values)]})
    assert done["errors"] == {}
    assert done["all"]["count"] == 10
    assert 0 < done["all"]["p50"] <= done["all"]["p99"] <= done["all"]["longest"]


async def test_load_accepts_responses_without_a_body(port: int) -> None:
    [done] = await load(port, {"streams": [stream(204, "204", "204", "204")]})
    assert (done["errors"], done["all"]["count"]) == ({}, 3)


async def test_load_counts_another_status_as_an_error(port: int) -> None:
    [done] = await load(port, {"streams": [stream(200, "200", "404", "500", "404")]})
    assert done["errors"] == {"404 instead of 200": 2, "500 instead of 200": 1}


async def test_load_counts_a_lost_connection_as_an_error(port: int) -> None:
    [done] = await load(port, {"connections": 1, "streams": [stream(200, "close", "200")]})
    [(error, count)] = done["errors"].items()
    assert error.startswith("connection lost")  # with or without a reset
    assert count == 1


async def test_load_mixes_streams_by_their_weights(port: int) -> None:
    many = stream(200, *["200"] * 1000, kind="many", weight=9)
    few = stream(404, *["404"] * 20, kind="few")
    [done] = await load(port, {"streams": [many, few]})
    assert done["errors"] == {}
    assert done["kinds"]["few"]["count"] == 20
    assert 171 <= done["kinds"]["many"]["count"] <= 189


async def test_load_ends_a_round_at_an_empty_line_and_reads_the_next_job(port: int) -> None:
    endless = stream(200, "200") | {"once": False}
    first, second = await load(
        port, {"streams": [endless]}, None, {"streams": [stream(200, "200")]}
    )
    assert first["errors"] == second["errors"] == {}
    assert first["seconds"] < 30
    assert second["all"]["count"] == 1


def test_parties_on_postgresql_answer_what_is_asked() -> None:
    """Both have a server with the same links, and give the right answer to each scenario."""
    size = Size(links=1_000, spares=10)
    hashes = make_table(size).hashes(10)
    asked = {"view", "create", "list", "revoke"}
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="run-") as folder:
        for name in postgres.PARTIES:
            with parties.serve(name, size, Path(folder)) as party:
                kinds = [
                    kind
                    for scenario in asked
                    for kind, _, _ in check(
                        SCENARIOS[scenario].streams(party.api, hashes, 1), party
                    )
                ]
            assert sorted(kinds) == sorted(asked)
