"""Every response of every operation is as the OpenAPI document describes it."""

import asyncio
import dataclasses
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from typing import Any

import pytest
from support.harness import Caller, Response, Service, Start, export, segment
from support.openapi import DOCUMENT, OPERATIONS, at, errors, operation_of

from service.app import ROUTES
from service.config import Config
from service.domain.errors import ConflictError, MalformedError, UnavailableError
from service.repositories.sqlite.engine.read_connection import ReadConnection
from service.repositories.sqlite.engine.worker import ConnectionWorker
from service.web.request_body import BODY_MAX, EXPORT_MAX
from service.web.routing import Route

# A fault of ours and a database that can't are told of every call, and can't be had of some.
ALWAYS_POSSIBLE = {"500", "503"}


EXAMPLE_HOOK = "https://hooks.example/reports"


class Pass:
    """Asks every operation, and remembers the statuses that it has seen."""

    def __init__(self, service: Service, known: dict[str, str]) -> None:
        self.service = service
        self.known = known
        self.seen: defaultdict[str, set[str]] = defaultdict(set)

    async def ask(
        self,
        route: Route,
        body: object = None,
        *,
        query: str = "",
        caller: Caller | None = None,
        **kwargs: Any,
    ) -> Response:
        caller = caller or (self.service.alice if route.owned else self.service.public)
        path = route.path.format_map(self.known | kwargs.pop("values", {}))
        if body is None and route.body is not None and "data" not in kwargs:
            body = example_of(route)
        answer = await caller.call(route.method, path + query, body, **kwargs)
        self.check(route, answer)
        return answer

    def check(self, route: Route, answer: Response) -> None:
        operation = operation_of(route)
        name = f"{operation['operationId']} {answer.status}"
        self.seen[operation["operationId"]].add(str(answer.status))
        assert str(answer.status) in operation["responses"], name
        response = at(operation["responses"][str(answer.status)])
        if "content" in response:
            kind = answer.headers["Content-Type"].partition(";")[0]
            assert kind in response["content"], name
            value = answer.json if kind.endswith("json") else answer.body.decode()
            assert errors(response["content"][kind]["schema"], value) == [], name
        else:
            assert answer.body == b"", name
        for header, node in response["headers"].items():
            if header not in answer.headers:
                assert not at(node).get("required"), f"{name} {header}"
                continue
            schema = at(node)["schema"]
            assert errors(schema, answer.headers[header]) == [], f"{name} {header}"
        undeclared = set(DOCUMENT["components"]["headers"]) - {"X-Request-ID"}
        assert not (undeclared - set(response["headers"])) & set(answer.headers), name


def example_of(route: Route) -> Any:
    return operation_of(route)["requestBody"]["content"]["application/json"]["example"]


@pytest.fixture
async def checked(start: Start, config: Config) -> Pass:
    """A pass over an application with a video, a link, an expired link and a spare key."""
    config = dataclasses.replace(config, lookup_rate_limit=1, body_timeout=0.1)
    service = await start(dataclasses.replace(config, max_bytes_per_user=4096))
    alice = service.alice
    await alice.put_video("a1b2c3d4", segments=[{"module": "m", "start_time": 0, "end_time": 1}])
    expired = await alice.share("a1b2c3d4", "2025-01-15T10:00:01")
    await service.advance(1)
    key = (await alice.post("/api/keys", {"name": "spare"})).json
    report = await alice.share("a1b2c3d4")
    locked = await alice.share("a1b2c3d4", password="x")
    limited = await alice.share("a1b2c3d4", max_views=1)
    other = await alice.put_video("other")
    hooks = [(await alice.post("/api/webhooks", {"url": EXAMPLE_HOOK})).json for _ in range(2)]
    tests = [(await alice.post(f"/api/webhooks/{hook['id']}/test")).json for hook in hooks]
    await alice.patch(f"/api/webhooks/{hooks[1]['id']}", {"is_active": False})
    await alice.put_video(other["id"])
    return Pass(
        service,
        {
            "two_videos": other["id"],
            "job_id": "a1b2c3d4",
            "share_hash": report["share_hash"],
            "report_id": report["id"],
            "key_id": key["id"],
            "expired": expired["share_hash"],
            "expired_id": expired["id"],
            "locked": locked["share_hash"],
            "limited": limited["share_hash"],
            "webhook_id": hooks[0]["id"],
            "delivery_id": tests[0]["id"],
            "webhook_off": hooks[1]["id"],
            "delivery_off": tests[1]["id"],
        },
    )


NOTHING = {
    "share_hash": "x" * 16,
    **dict.fromkeys(("report_id", "key_id", "webhook_id", "delivery_id"), "0"),
}


BODIES = (b"{", b'{"name": 1}', b'{"video_id": "nothing"}', b" " * (EXPORT_MAX + 1))


async def half_a_body() -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.sleep(60)


def attempts(checked: Pass, route: Route) -> Iterator[dict[str, Any]]:
    """What a call may be asked beside what it is there for."""
    if route.owned:
        yield from attempts_of_owners(checked, route)
    if route.body is not None:
        yield from ({"body": body} for body in BODIES)
        yield {"data": half_a_body()}
    if route.redirects or route.has_page:
        yield {"headers": {"Accept": "text/html"}}
    if "{" in route.path:
        # A PUT makes what the others are not to find; the second try is a guess too many.
        nothing = NOTHING | {"job_id": f"nothing-{route.method}"}
        yield from ({"values": nothing} for _ in range(2))
    if "{share_hash}" in route.path:
        yield {"values": {"share_hash": checked.known["expired"]}, "query": "?from=never"}
        yield {"query": "?from=never"}
        yield from attempts_to_open(checked, route)
    if MalformedError in route.problems:
        # A browser's, because it is sent elsewhere by the address that it has asked for.
        query = "?limit=1" if "limit" in route.query else ""
        yield {"headers": {"Host": '"><script>', "Accept": "text/html"}, "query": query}
    if "limit" in route.query:
        yield {"query": "?limit=1"}
        yield {"query": "?limit=0"}
    if ConflictError in route.problems:
        yield attempt_to_conflict(checked, route)
    if "status" in route.query:
        yield {"query": "?status=lost"}


def attempt_to_conflict(checked: Pass, route: Route) -> dict[str, Any]:
    two = checked.known["two_videos"]
    if route.method == "PUT":
        return {"body": export(segments=[segment(0, 1, content="x" * 4096)])}
    if "video_id" in route.query:
        return {"query": f"?video_id={two}"}
    return {
        "body": {"video_id": two} if route.method == "POST" else {"is_active": True},
        "values": {
            "report_id": checked.known["expired_id"],
            "webhook_id": checked.known["webhook_off"],
            "delivery_id": checked.known["delivery_off"],
        },
    }


def attempts_of_owners(checked: Pass, route: Route) -> Iterator[dict[str, Any]]:
    yield {"caller": checked.service.public}
    stranger = Caller(checked.service.client, f"lvz_live_{'0' * 64}")
    yield from ({"caller": stranger} for _ in range(2))
    yield {"query": "?satus=expired"}
    if route.query or "{" in route.path:
        yield {"query": "?limit=%E9"}


def attempts_to_open(checked: Pass, route: Route) -> Iterator[dict[str, Any]]:
    limited, locked = [{"share_hash": checked.known[name]} for name in ("limited", "locked")]
    if route.redirects:
        yield {"values": {"share_hash": f"{checked.known['share_hash']}."}}
    yield {"values": locked}
    yield {"values": limited, "headers": {"X-Share-Token": "x"}}
    if route.form is not None:
        for data in (half_a_body(), BytesIO(b"x" * (BODY_MAX + 1))):
            yield {"values": locked, "data": data}


async def test_responses_match_the_openapi_document(
    checked: Pass, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every status but a fault's is had from every operation that tells of it."""
    for route in ROUTES:
        await checked.service.advance(60)
        for attempt in attempts(checked, route):
            await checked.ask(route, **attempt)
    # The last ones take away what the others need.
    for route in sorted(
        ROUTES, key=lambda route: (route.method == "DELETE", "rotate" in route.path)
    ):
        answer = await checked.ask(route)
        assert answer.status == route.status, route.path
    monkeypatch.setattr("service.repositories.sqlite.api_keys.KEYS_MAX", 0)
    monkeypatch.setattr("service.repositories.sqlite.webhooks.WEBHOOKS_MAX", 0)
    for name in ("createApiKey", "createWebhook"):
        await checked.ask(next(route for route in ROUTES if route.operation == name))
    for operation in OPERATIONS.values():
        told = set(operation["responses"])
        told -= {"4XX", "default"}  # what HTTP itself rejects reaches no handler
        assert told - checked.seen[operation["operationId"]] <= ALWAYS_POSSIBLE, operation


@pytest.mark.parametrize("fault", [UnavailableError("Not now."), RuntimeError("oh")])
async def test_faults_match_the_openapi_document(
    checked: Pass, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(ReadConnection, "fetch_all", fail)
    monkeypatch.setattr(ReadConnection, "get_cached", fail)
    monkeypatch.setattr(ConnectionWorker, "fetch_all", fail)
    monkeypatch.setattr(ConnectionWorker, "submit", fail)
    expected = 503 if isinstance(fault, UnavailableError) else 500
    # What needs no database, and the numbers, wanted most when the database fails.
    well = {"/", "/openapi.json", "/docs", "/livez"} | ({"/metrics"} if expected == 503 else set())
    unready = {"/readyz", "/healthz", "/api/health"}  # whatever it is, it says which check fails
    for route in ROUTES:
        answer = await checked.ask(route)
        status = 503 if route.path in unready else 200 if route.path in well else expected
        assert answer.status == status, route.path
