"""The server classes: another application is untouched, and a missing private name is survived."""

import ast
import asyncio
import gzip
import inspect
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from support.harness import Service, Start
from support.process import get, new_key, request, serving

import service as package
from service.aiohttp_ext.private_names import PRIVATE_NAMES
from service.config import Config

NAMES = sorted({(cls, name) for names in PRIVATE_NAMES.values() for cls, name in names}, key=str)
PACKAGE = Path(package.__file__).parent
CLASSES = (web.Application, web.AppRunner, web.Request, web.RequestHandler, web.Server)


@asynccontextmanager
async def ordinary_application() -> AsyncIterator[str]:
    """Another aiohttp application in this process; yields its URL."""

    async def handle(request: web.Request) -> web.Response:
        if request.path == "/missing":
            raise web.HTTPNotFound
        if request.path == "/broken":
            raise ValueError("a fault")
        return web.Response(body=await request.read(), headers={"X-Own": "1"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    yield f"http://{host}:{port}"
    await runner.cleanup()


async def exchange(url: str, sent: bytes) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    received = await reader.read()
    writer.close()
    await writer.wait_closed()
    return received


async def test_server_leaves_another_application_its_own_responses(service: Service) -> None:
    assert (await service.public.get("/missing")).headers["Server"] == "shared-reports"
    async with ordinary_application() as url, aiohttp.ClientSession() as session:
        async with session.get(f"{url}/missing") as response:
            assert (response.status, await response.text()) == (404, "404: Not Found")
            assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
            assert "aiohttp" in response.headers["Server"]
        async with session.get(f"{url}/broken") as response:
            assert response.status == 500
            assert "Server got itself in trouble" in await response.text()
        packed = gzip.compress(b"unpacked")
        headers = {"Content-Encoding": "gzip"}
        async with session.post(url, data=packed, headers=headers) as response:
            assert (await response.read(), response.headers["X-Own"]) == (b"unpacked", "1")
        malformed = await exchange(url, b"nonsense\r\n\r\n")
        assert malformed.startswith(b"HTTP/1.0 400 ")
        assert b"Content-Type: text/plain" in malformed


async def test_server_leaves_another_application_its_connections(
    start: Start, config: Config
) -> None:
    await start(replace(config, max_connections=1))
    async with ordinary_application() as url:
        host, port = url.removeprefix("http://").split(":")
        streams = [await asyncio.open_connection(host, int(port)) for _ in range(5)]
        for reader, writer in streams:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
            writer.close()
            await writer.wait_closed()


async def test_server_leaves_the_classes_of_aiohttp_as_they_are(service: Service) -> None:
    await service.public.get("/livez")
    for cls in (*CLASSES, web.HTTPException, web.StreamResponse):
        for name, value in vars(cls).items():
            assert getattr(value, "__module__", "aiohttp").startswith("aiohttp") or (
                not callable(value)
            ), (cls, name)


def private_attributes(file: Path) -> set[str]:
    """The private names that a module uses of what is not its own, or overrides."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ClassDef) and any("web." in ast.unparse(b) for b in node.bases):
            names |= {sub.attr for sub in ast.walk(node) if isinstance(sub, ast.Attribute)}
            names |= {sub.name for sub in node.body if isinstance(sub, ast.AsyncFunctionDef)}
            names |= {sub.name for sub in node.body if isinstance(sub, ast.FunctionDef)}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) not in {"self", "cls"}:
            names.add(node.attr)
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def test_private_names_of_aiohttp_are_all_listed() -> None:
    theirs: set[str] = set()
    for cls in CLASSES:
        for base in cls.__mro__:
            if base.__module__.startswith("aiohttp"):
                theirs |= set(
                    re.findall(r"(?:\bself\.|\bdef )(_[a-z]\w*)", inspect.getsource(base))
                )
                theirs |= {name for name in vars(base) if name.startswith("_")}
    listed = {name for _, name in NAMES}
    used: set[str] = set()
    for file in PACKAGE.rglob("*.py"):
        names = private_attributes(file) & theirs
        assert not names or file.parent.name == "aiohttp_ext", (file, names)
        used |= names
    assert used == listed


@pytest.mark.parametrize(
    ("cls", "name"), NAMES, ids=lambda value: getattr(value, "__name__", value)
)
def test_service_answers_without_a_private_name_of_aiohttp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cls: type, name: str
) -> None:
    """aiohttp is copied, and the name is another one there."""
    library = Path(aiohttp.__file__).parent
    shutil.copytree(library, tmp_path / "aiohttp", ignore=shutil.ignore_patterns("__pycache__"))
    for file in (tmp_path / "aiohttp").glob("*.py"):
        file.write_text(re.sub(rf"\b{name}\b", f"{name}_renamed", file.read_text()))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{PACKAGE.parent}")
    key = new_key(tmp_path)
    with serving(tmp_path) as server:
        assert get(f"{server.url}/livez")[0] == 200
        assert get(f"{server.url}/missing")[0] == 404
        status, body = request(
            "PUT", f"{server.url}/api/videos/1", {"name": "x"}, Authorization=key
        )
        assert (status, json.loads(body)["name"]) == (201, "x")
        status, body = request(
            "POST", f"{server.url}/api/shared-reports", {"video_id": "1"}, Authorization=key
        )
        share_hash = json.loads(body)["share_hash"]
        assert get(f"{server.url}/api/shared-reports/{share_hash}")[0] == 200
        assert get(f"{server.url}/api/videos/1/segments", Authorization=key)[0] == 200
        assert server.stop()[0] == 0
        missing = [
            event["missing"]
            for event in server.events()
            if event["event"] == "aiohttp lacks a private name"
        ]
    assert missing == [[f"{cls.__name__}.{name}"]]
