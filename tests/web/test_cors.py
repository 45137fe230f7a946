"""CORS: what pages of other origins may call and read, by the configuration."""

import dataclasses
import re

import pytest
from support.harness import Caller, Response, Service, Start

from service.app import ROUTES
from service.config import Config
from service.domain.errors import ConfigError
from service.domain.setting_values import CorsOrigins
from service.web.cors import ALLOWED, EXPOSED

APP = "https://app.example.com"
OTHER = "https://other.example.com"
ALLOW_ORIGIN = "Access-Control-Allow-Origin"
LISTED = CorsOrigins(frozenset({APP}))
ANY = CorsOrigins(frozenset(), any_for_public=True)
BOTH = CorsOrigins(frozenset({APP}), any_for_public=True)


def cors_headers(answer: Response) -> dict[str, str]:
    return {
        name: value for name, value in answer.headers.items() if name.startswith("Access-Control")
    }


@pytest.fixture
def start_with(start: Start, config: Config) -> Start:
    async def start_service(origins: CorsOrigins | None) -> Service:
        return await start(dataclasses.replace(config, cors_origins=origins))

    return start_service


async def preflight(caller: Caller, method: str, path: str, origin: str = APP) -> Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return await caller.call("OPTIONS", path, headers=headers)


async def test_cors_allows_no_origin_by_default(service: Service) -> None:
    for path in ("/", "/api/videos", "/openapi.json"):
        answer = await service.alice.get(path, headers={"Origin": APP})
        assert not cors_headers(answer)
        assert "Origin" not in answer.headers.get("Vary", "")
        assert not cors_headers(await preflight(service.public, "GET", path))


@pytest.mark.parametrize(
    ("origins", "origin", "public", "owned"),
    [
        (LISTED, APP, APP, APP),
        (LISTED, OTHER, None, None),
        (LISTED, "null", None, None),
        (LISTED, APP.upper(), None, None),
        (ANY, APP, "*", None),
        (ANY, "null", "*", None),
        (BOTH, APP, "*", APP),
        (BOTH, OTHER, "*", None),
    ],
)
async def test_cors_allows_the_configured_origins_on_every_route(
    start_with: Start, origins: CorsOrigins, origin: str, public: str | None, owned: str | None
) -> None:
    """By the route table: responses and preflights agree, and routes for operators allow none."""
    service = await start_with(origins)
    for route in ROUTES:
        path = re.sub(r"\{\w+\}", "x", route.path)
        expected = owned if route.owned else public
        if route.tag == "Operations":
            expected = None
        asked = await preflight(service.public, route.method, path, origin)
        assert asked.status == 204
        assert asked.headers.get(ALLOW_ORIGIN) == expected, route
        sent = await service.public.call(route.method, path, headers={"Origin": origin})
        assert sent.headers.get(ALLOW_ORIGIN) == expected, route
        for answer in (asked, sent):
            assert "Access-Control-Allow-Credentials" not in answer.headers
            if expected is None:
                assert not cors_headers(answer), route
        if expected is not None:
            assert asked.headers["Access-Control-Allow-Methods"] == route.method
            assert sent.headers["Access-Control-Expose-Headers"] == ", ".join(EXPOSED)


async def test_listed_origins_vary_every_response(start_with: Start) -> None:
    service = await start_with(LISTED)
    for headers in ({}, {"Origin": APP}, {"Origin": OTHER}):
        for path in ("/api/shared-reports/x", "/api/videos", "/nothing", "/openapi.json"):
            answer = await service.alice.get(path, headers=headers)
            assert "Origin" in ", ".join(answer.headers.getall("Vary")), path  # type: ignore[attr-defined] # a CIMultiDict
    assert "Origin" in (await preflight(service.public, "GET", "/", OTHER)).headers["Vary"]


async def test_preflight_is_of_the_method_that_is_asked_for(start_with: Start) -> None:
    """GET of this path is public by a share hash, DELETE is owned by an id."""
    service = await start_with(ANY)
    path = "/api/shared-reports/x"
    assert (await preflight(service.public, "GET", path)).headers[ALLOW_ORIGIN] == "*"
    assert (await preflight(service.public, "HEAD", path)).headers[ALLOW_ORIGIN] == "*"
    for method in ("DELETE", "PATCH", "PUT", "get", "x\u00e9", "*"):
        assert not cors_headers(await preflight(service.public, method, path)), method


async def test_preflight_allows_the_headers_that_routes_take(start_with: Start) -> None:
    service = await start_with(LISTED)
    answer = await preflight(service.public, "POST", "/api/shared-reports")
    allowed = answer.headers["Access-Control-Allow-Headers"].split(", ")
    assert tuple(allowed) == ALLOWED
    assert {name for route in ROUTES for name in route.takes} <= set(allowed)
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"


async def test_options_without_a_method_is_no_preflight(start_with: Start) -> None:
    service = await start_with(BOTH)
    answer = await service.public.call("OPTIONS", "/api/videos", headers={"Origin": APP})
    assert answer.status == 204
    assert not cors_headers(answer)


async def test_errors_of_allowed_origins_can_be_read(start_with: Start) -> None:
    service = await start_with(BOTH)
    for path, status in (("/api/shared-reports/x", 404), ("/nothing", 404)):
        answer = await service.public.get(path, headers={"Origin": OTHER})
        assert (answer.status, answer.headers[ALLOW_ORIGIN]) == (status, "*")
    answer = await service.public.get("/api/videos", headers={"Origin": APP})
    assert (answer.status, answer.headers[ALLOW_ORIGIN]) == (401, APP)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", ANY),
        (APP, LISTED),
        (f" {APP.upper()} , *", BOTH),
        (f"{APP}:443", LISTED),
        ("http://[::1]:80", CorsOrigins(frozenset({"http://[::1]"}))),
        ("http://localhost:3000", CorsOrigins(frozenset({"http://localhost:3000"}))),
    ],
)
def test_cors_origins_are_read_as_browsers_send_them(text: str, expected: CorsOrigins) -> None:
    assert Config.from_env({"SHARED_REPORTS_CORS_ORIGINS": text}).cors_origins == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "app.example.com",
        f"{APP}/",
        f"{APP}/x",
        "null",
        "https://*.example.com",
        f"{APP} {OTHER}",
        "ftp://x",
        f"{APP},",
        "https://a\r\nX: y",
        "https://",
        "https://x:port",
    ],
)
def test_cors_origins_that_are_none_are_rejected(text: str) -> None:
    with pytest.raises(ConfigError, match="CORS_ORIGINS"):
        Config.from_env({"SHARED_REPORTS_CORS_ORIGINS": text})
