from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import TCPConnector
from support.harness import Caller, Client, FakeClock, Service, Start, TestServer, new_caller

from service.app import create_app
from service.config import Config

PROCESS_HELPERS = {"COMMAND", "run", "serving"}
"""What a module imports from support.process to start the service or a command as a process."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of each module that starts processes as slow."""
    for item in items:
        if isinstance(item, pytest.Function) and PROCESS_HELPERS & vars(item.module).keys():
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(database=tmp_path / "test.sqlite3")


@pytest.fixture
def start(config: Config, aiohttp_client: Callable[..., Awaitable[Client]]) -> Start:
    """Start the application; called again, it starts another on the same file."""

    async def start_service(config: Config = config, **parts: object) -> Service:
        clock = FakeClock()
        app = create_app(config, **({"clock": clock} | parts))  # type: ignore[arg-type]
        client = await aiohttp_client(TestServer(app), connector=TCPConnector(limit=0))
        return Service(
            app,
            client,
            clock,
            Caller(client),
            await new_caller(app, client),
            await new_caller(app, client),
        )

    return start_service


@pytest.fixture
async def service(start: Start) -> Service:
    return await start()


@pytest.fixture
def alice(service: Service) -> Caller:
    return service.alice


@pytest.fixture
def bob(service: Service) -> Caller:
    return service.bob


@pytest.fixture
def public(service: Service) -> Caller:
    return service.public
