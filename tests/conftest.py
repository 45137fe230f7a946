import gc
import shutil
import time
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path

import pytest
import uvloop
from support import postgresql
from support.database import DatabaseSetting, FreshDatabase, use_database
from support.harness import (
    Caller,
    Client,
    FakeClock,
    Service,
    Start,
    app_of,
    make_client,
    new_caller,
)
from support.server_faults import Open

from service.config import Config
from service.domain.clock import CachedNow, Clock
from service.domain.postgresql_url import PostgresqlUrl
from service.repositories.connect import open_repositories

PROCESS_HELPERS = {"COMMAND", "run", "serving"}
"""What a module imports from support.process to start the service or a command as a process."""


ENGINES = ("sqlite", "postgresql")
ABOUT_SQLITE = ("repositories/sqlite/", "server/")
"""Tests that are about SQLite's files, or count the processes that open one."""
ABOUT_HTTP = (
    "aiohttp_ext/",
    "telemetry/",
    "web/openapi/",
    "web/test_cors.py",
    "web/test_options.py",
    "web/test_proxies.py",
)
"""Tests that are about no storage: once is enough, on SQLite."""


ABOUT_POSTGRESQL = "repositories/postgresql/"
"""Tests that are about PostgreSQL's servers."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that leaves out the tests on the other engine."""
    parser.addoption("--engine", choices=ENGINES, help="run no test on the other engine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of each module that starts processes as slow, and apply ``--engine``.

    Tests with a service of their own come first in their module: some count the statements of all
    services that run.
    """
    if (only := config.getoption("--engine")) is not None:
        items[:] = [item for item in items if _engine_of(item) in {only, None}]
    for item in items:
        if isinstance(item, pytest.Function) and PROCESS_HELPERS & vars(item.module).keys():
            item.add_marker(pytest.mark.slow)
    place = {path: number for number, path in enumerate(dict.fromkeys(item.path for item in items))}
    items.sort(key=lambda item: (place[item.path], _shares_service(item)))


OWN_SERVICE = {"start", "config", "database", "folder", "fresh_database", "monkeypatch", "capsys"}
"""The fixtures of a test that is about more than its users' data."""


def _shares_service(item: pytest.Item) -> bool:
    """Whether a test calls the service that the tests of its module share."""
    fixtures = set(getattr(item, "fixturenames", ()))
    is_about_storage = _path_of(item).startswith("repositories/")
    is_own = is_about_storage or item.get_closest_marker("own_service") is not None
    return not is_own and not fixtures & OWN_SERVICE


def _path_of(item: pytest.Item) -> str:
    """The path of a test's module in this folder."""
    return item.path.relative_to(Path(__file__).parent).as_posix()


def _engine_of(item: pytest.Item) -> str | None:
    """The engine on which a test runs, None if it is about neither."""
    if _path_of(item).startswith(ABOUT_POSTGRESQL):
        return "postgresql"
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("engine") if callspec is not None else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that needs a database on every engine, unless it is about one of them."""
    if "engine" in metafunc.fixturenames:
        path = _path_of(metafunc.definition)
        marker = metafunc.definition.get_closest_marker("engine")
        if marker is not None:
            engines = marker.args
        elif path.startswith(ABOUT_SQLITE + ABOUT_HTTP):
            engines = ("sqlite",)
        else:
            engines = ENGINES
        metafunc.parametrize("engine", engines)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], AbstractEventLoop]]:
    """Run the tests on the event loop of production."""
    return {"uvloop": uvloop.new_event_loop}


def pytest_collection_finish() -> None:
    """Let no collection of garbage look at the thousands of tests again."""
    gc.collect()
    gc.freeze()


async def migrate(database: DatabaseSetting) -> None:
    """Create the tables."""
    config = Config(database=database)
    async with open_repositories(config, CachedNow(time.time), serves=False, creates=True):
        pass


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy, which takes a thirtieth of the time."""
    template = tmp_path_factory.mktemp("template") / "test.sqlite3"
    postgresql.wait_for(migrate(template))
    return template


@pytest.fixture(scope="session")
def postgresql_databases() -> Iterator[postgresql.Databases]:
    """A PostgreSQL server for all tests of this process, with a migrated database to copy."""
    with postgresql.running_server(**postgresql.FAST) as server:
        server.execute("CREATE DATABASE template")
        databases = postgresql.Databases(server, "template")
        postgresql.wait_for(migrate(server.url("template")))
        yield databases
        databases.close()


@pytest.fixture
def fresh_database(
    engine: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> FreshDatabase:
    """Makes empty databases of the engine."""
    return _fresh_database(engine, tmp_path_factory, request)


def _fresh_database(
    engine: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> FreshDatabase:
    """Return what makes empty databases of the engine: the one place that chooses it."""
    if engine == "postgresql":
        databases: postgresql.Databases = request.getfixturevalue("postgresql_databases")
        return databases.fresh
    template: Path = request.getfixturevalue("sqlite_template")
    return lambda: nullcontext(Path(shutil.copy(template, tmp_path_factory.mktemp("database"))))


@pytest.fixture
def database(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[DatabaseSetting]:
    """An empty database of the engine; of SQLite none yet in the tests that are about its file."""
    if engine == "sqlite":
        if not _path_of(request.node).startswith(ABOUT_SQLITE):
            shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path)
        yield tmp_path / "test.sqlite3"
        return
    with request.getfixturevalue("fresh_database")() as address:
        yield address


@pytest.fixture
def folder(database: DatabaseSetting, tmp_path: Path) -> Path:
    """A folder for commands, which use the database of the engine."""
    use_database(tmp_path, database)
    return tmp_path


@pytest.fixture
def config(database: DatabaseSetting) -> Config:
    return Config(database=database)


@pytest.fixture
async def start(config: Config) -> AsyncIterator[Start]:
    """Start the application; called again, it starts another on the same file."""
    async with AsyncExitStack() as stack:

        async def start_service(
            config: Config = config, clock: Clock | None = None, **parts: object
        ) -> Service:
            clock = clock or FakeClock()
            client = await stack.enter_async_context(make_client(config, clock, **parts))
            return await Service.of(client, clock)

        yield start_service


@pytest.fixture
def service(request: pytest.FixtureRequest, engine: str) -> Service:  # noqa: ARG001 - the test runs on each engine
    """The application on an empty database, or the one that the tests of its module share."""
    kind = "shared_service" if _shares_service(request.node) else "own_service"
    service: Service = request.getfixturevalue(kind)
    return service


@pytest.fixture
async def own_service(start: Start) -> Service:
    return await start()


Running = tuple[Client, FakeClock]
RunningServices = Callable[[str], Awaitable[Running]]
"""Returns the client of an engine's application."""


@pytest.fixture
async def shared_service(engine: str, running_services: RunningServices) -> Service:
    """The module's application, with two new users, at the time of the start."""
    client, clock = await running_services(engine)
    clock.seconds = FakeClock().seconds
    return await Service.of(client, clock)


@pytest.fixture(scope="module")
async def running_services(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[RunningServices]:
    """The applications that the tests of a module share: one on each engine, once it is needed.

    Their clock stands still, so the guesses of all tests would be those of one minute.
    """
    running: dict[str, Running] = {}
    async with AsyncExitStack() as stack:

        async def get(engine: str) -> Running:
            if engine not in running:
                fresh = _fresh_database(engine, tmp_path_factory, request)
                config = Config(database=stack.enter_context(fresh()), lookup_rate_limit=None)
                clock = FakeClock()
                client = await stack.enter_async_context(make_client(config, clock))
                running[engine] = client, clock
            return running[engine]

        yield get


@pytest.fixture
def set_scan_rows(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets how many rows one statement of a list looks at."""
    name = "service.repositories.list_pages._SCAN_ROWS"
    return lambda count: monkeypatch.setattr(name, count)


@pytest.fixture
def alice(service: Service) -> Caller:
    return service.alice


@pytest.fixture
def bob(service: Service) -> Caller:
    return service.bob


@pytest.fixture
def public(service: Service) -> Caller:
    return service.public


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """The files of a server that a test may stop and start."""
    folder = postgresql.make_folder()
    postgresql.initialize(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def server(server_folder: Path) -> Iterator[postgresql.PostgresServer]:
    with postgresql.started(server_folder, **postgresql.FAST) as server:
        yield server


@pytest.fixture
async def start_on() -> AsyncIterator[Open]:
    """Start the application on a server of the test's."""
    async with AsyncExitStack() as stack:

        async def start(
            url: PostgresqlUrl,
            statement_timeout: float = 5.0,
            connect_timeout: float = 5.0,
            statement_cache_size: int = 100,
        ) -> Caller:
            config = Config(
                database=url,
                statement_timeout=statement_timeout,
                connect_timeout=connect_timeout,
                statement_cache_size=statement_cache_size,
            )
            client = await stack.enter_async_context(make_client(config, FakeClock()))
            return await new_caller(app_of(client), client)

        yield start
