"""The two ways to a route: a plain path is looked up, any other is searched for; both agree."""

import pytest
from aiohttp import HttpVersion11
from aiohttp.test_utils import make_mocked_request
from aiohttp.web import Request
from support.harness import Service

from service.app import ROUTES
from service.web.routing import Route

PLACES = {"share_hash": "x7Kp2mQ9vL4nRt8Z", "report_id": "7", "job_id": "a1b2c3d4", "key_id": "3"}
PLACES |= {"webhook_id": "5", "delivery_id": "9"}
PLAIN = "/api/shared-reports/x7Kp2mQ9vL4nRt8Z"


def mocked(method: str, path: str, headers: dict[str, str] | None = None) -> Request:
    # The parser's own version object: the dispatch compares it by identity.
    return make_mocked_request(method, path, headers, version=HttpVersion11)


def is_looked_up(service: Service, request: Request) -> bool:
    """Whether the server finds a request's handler at once; aiohttp's search has to wait."""
    before = request._match_info
    runner = service.client.server.runner
    assert runner is not None
    assert runner.server is not None
    runner.server.request_handler(request).close()  # type: ignore[attr-defined] # a coroutine; it
    # is closed before any of the handler has run
    return request._match_info is not before


ONE_NAME = [route for route in ROUTES if route.path.count("{") <= 1]
"""The others are searched for."""


@pytest.mark.parametrize("route", ONE_NAME, ids=lambda route: f"{route.method} {route.path}")
async def test_dispatch_of_a_plain_path_finds_the_same_route_as_the_router(
    service: Service, route: Route
) -> None:
    request = mocked(route.method, route.path.format(**PLACES))
    searched = await service.app.router.resolve(request)
    assert is_looked_up(service, request)
    found = request.match_info
    assert found.route is searched.route
    assert found.route.resource is not None
    assert found.route.resource.canonical == route.path
    assert (
        dict(found)
        == dict(searched)
        == {name: value for name, value in PLACES.items() if f"{{{name}}}" in route.path}
    )
    assert request.app is service.app


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/api/shared-reports/x7Kp%32mQ9vL4nRt8Z", {}),
        ("GET", f"{PLAIN}?a=b", {}),
        ("GET", f"{PLAIN}/segments?module=a", {}),
        ("GET", f"{PLAIN}/segment", {}),
        ("GET", f"{PLAIN}/segments/", {}),
        ("GET", "/r/x7Kp%32mQ9vL4nRt8Z/qr.svg", {}),
        ("GET", "/r//qr.svg", {}),
        ("PUT", f"{PLAIN}/segments", {}),
        ("PUT", PLAIN, {}),
        ("GET", PLAIN, {"Expect": "100-continue"}),
        ("GET", "/api/shared-reports/", {}),
        ("GET", "/api//shared-reports", {}),
        ("GET", "/nothing/", {}),
        ("GET", "/api/shared-reports/\u00e9", {}),
        ("GET", "/api/videos/a1b2c3d4/shared-reports?limit=1", {}),
    ],
)
async def test_dispatch_leaves_other_requests_to_the_router(
    service: Service, method: str, path: str, headers: dict[str, str]
) -> None:
    assert not is_looked_up(service, mocked(method, path, headers))


@pytest.mark.parametrize(("method", "path"), [("HEAD", PLAIN), ("*", "/abc")])
async def test_dispatch_of_any_method_agrees_with_the_router(
    service: Service, method: str, path: str
) -> None:
    request = mocked(method, path)
    searched = await service.app.router.resolve(request)
    assert is_looked_up(service, request)
    assert (request.match_info.route, dict(request.match_info)) == (searched.route, dict(searched))
