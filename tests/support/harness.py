"""What the tests share: the application over real HTTP, on a real file, with a clock to turn."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, cast

from aiohttp import ClientResponse, TCPConnector, test_utils
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, BaseRunner, Request

from service.app import create_app
from service.config import Config
from service.domain.clock import Clock
from service.repositories.sqlite.engine.database import Database
from service.repositories.sqlite.repositories import SqliteRepositories
from service.server.run import make_runner
from service.web.app_keys import REPOSITORIES, SWEEPER

SAMPLE = Path(__file__).parent.parent.parent / "service/cli/samples/street-meadow-car.json"
START = "2025-01-15T10:00:00"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Safari/537.36"
)
"""A browser's User-Agent. A page is for people, and an HTTP library's GET of it is a bot's view."""


class FakeClock:
    """A clock that stands still until it is turned."""

    def __init__(self) -> None:
        self.seconds = 1736935200.0  # START

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass(frozen=True)
class Response:
    """A response, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    async def of(cls, response: ClientResponse) -> "Response":
        return cls(response.status, response.headers, await response.read())

    @cached_property
    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """Calls the service, with a key or without one."""

    def __init__(self, client: "Client", key: str | None = None, user_id: str = "") -> None:
        self.client = client
        self.key = key
        self.user_id = user_id

    async def call(self, method: str, path: str, body: object = None, **kwargs: Any) -> Response:
        headers = dict(kwargs.pop("headers", {}))
        if path.startswith("/r/"):
            headers.setdefault("User-Agent", CHROME)
        if self.key is not None:
            headers.setdefault("Authorization", self.key)
        if body is not None:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            kwargs["data"] = BytesIO(raw)
            headers.setdefault("Content-Type", "application/json")
        kwargs.setdefault("allow_redirects", False)
        async with self.client.request(method, path, headers=headers, **kwargs) as response:
            return await Response.of(response)

    async def get(self, path: str, **kwargs: Any) -> Response:
        return await self.call("GET", path, **kwargs)

    async def post(self, path: str, body: object = None, **kwargs: Any) -> Response:
        return await self.call("POST", path, body, **kwargs)

    async def put(self, path: str, body: object = None, **kwargs: Any) -> Response:
        return await self.call("PUT", path, body, **kwargs)

    async def patch(self, path: str, body: object = None, **kwargs: Any) -> Response:
        return await self.call("PATCH", path, body, **kwargs)

    async def delete(self, path: str, **kwargs: Any) -> Response:
        return await self.call("DELETE", path, **kwargs)

    async def put_video(self, job_id: str = "job-1", **fields: Any) -> Any:
        """Put a small video, or one with the given fields; returns the answer's JSON."""
        answer = await self.put(f"/api/videos/{job_id}", export(**fields))
        assert answer.status in {200, 201}, answer.body
        return answer.json

    async def share(
        self, video_id: str = "job-1", expires_at: str | None = None, **fields: Any
    ) -> Any:
        """Create a link; returns the answer's JSON."""
        answer = await self.post(
            "/api/shared-reports", {"video_id": video_id, "expires_at": expires_at} | fields
        )
        assert answer.status == 201, answer.body
        return answer.json


class TestServer(test_utils.TestServer):
    """Serves the application as in production; only the socket is the test's."""

    async def _make_runner(self, **_: object) -> BaseRunner:
        return make_runner(self.app)


Client = TestClient[Request, Application]


def make_client(config: Config, clock: Clock, **parts: Any) -> Client:
    """Return a client that runs an application of its own while its context lasts."""
    app = create_app(config, clock=clock, **parts)
    return TestClient(TestServer(app), connector=TCPConnector(limit=0))


def app_of(client: Client) -> Application:
    """The application that a client runs."""
    assert client.app is not None
    return client.app


@dataclass(frozen=True)
class Service:
    """The application under test."""

    app: Application
    client: Client
    clock: FakeClock
    public: Caller
    alice: Caller
    bob: Caller

    @classmethod
    async def of(cls, client: Client, clock: Clock) -> "Service":
        """A running application with two new users, whose sweeper is idle."""
        app = app_of(client)
        users = [await new_caller(app, client) for _ in range(2)]
        if not isinstance(clock, FakeClock):
            return cls(app, client, FakeClock(), Caller(client), *users)
        # Its waits are by real time, which has nothing to do with the clock of the test.
        app[SWEEPER].task.has_timer = False
        app[SWEEPER].task.wake()
        service = cls(app, client, clock, Caller(client), *users)
        await service.settle()
        return service

    async def sweep(self) -> None:
        await self.app[SWEEPER].sweep_once()

    async def settle(self) -> None:
        """Wait until the sweeper is idle, so that a test meets none of its passes by chance."""
        while not self.app[SWEEPER].task.idle:
            await asyncio.sleep(0.001)

    async def advance(self, seconds: float) -> None:
        """Turn the clock. The sweeper makes no pass because of it: a test calls ``sweep``."""
        await self.settle()
        self.clock.advance(seconds)


async def new_caller(app: Application, client: Client) -> Caller:
    """A new user with a key."""
    user_id = str(uuid.uuid4())
    created = await app[REPOSITORIES].api_keys.create(user_id, "test")
    return Caller(client, created.raw_key, user_id)


def database_of(app: Application) -> Database:
    """The open SQLite database of an application."""
    return cast("SqliteRepositories", app[REPOSITORIES]).database


def export(**fields: Any) -> dict[str, Any]:
    """A small export of a job."""
    return {"video_name": "Product Demo", "status": "completed", "duration": 120.5} | fields


def segment(start: float, end: float, module: str = "scenes", **fields: Any) -> dict[str, Any]:
    """A segment of an export."""
    return {"module": module, "start_time": start, "end_time": end, "content": "…"} | fields


def sample() -> dict[str, Any]:
    """A real export."""
    document: dict[str, Any] = json.loads(SAMPLE.read_bytes())
    return document


def is_problem(answer: Response, status: int, code: str) -> bool:
    """Whether an answer is a problem document of this status and this code."""
    assert answer.status == status, (answer.status, answer.body)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert {"type", "title", "status", "detail"} <= answer.json.keys()
    assert answer.json.keys() <= {"type", "title", "status", "detail", "expired_at"}
    assert answer.json["status"] == status
    return bool(answer.json["type"] == f"urn:shared-reports:problem:{code}")


Start = Callable[..., Awaitable[Service]]
"""Starts the application; called again, starts another on the same file."""
