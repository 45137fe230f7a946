"""The two ways to a route: a plain path is looked up, any other is searched for; both agree."""

import pytest
from aiohttp.test_utils import make_mocked_request
from harness import Service

from service.app import ROUTES
from service.routing import Route

PLACES = {"share_hash": "x7Kp2mQ9vL4nRt8Z", "report_id": "7", "job_id": "a1b2c3d4", "key_id": "3"}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_a_plain_path_leads_where_a_search_leads(service: Service, route: Route) -> None:
    router = service.app.router
    request = make_mocked_request(route.method, route.path.format(**PLACES))
    found, searched = await router.resolve(request), await type(router).resolve(router, request)
    assert found.route is searched.route
    assert found.route.resource is not None
    assert found.route.resource.canonical == route.path
    assert (
        dict(found)
        == dict(searched)
        == {name: value for name, value in PLACES.items() if f"{{{name}}}" in route.path}
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/shared-reports/x7Kp%32mQ9vL4nRt8Z"),
        ("GET", "/api/shared-reports/x7Kp2mQ9vL4nRt8Z?a=b"),
        ("HEAD", "/api/shared-reports/x7Kp2mQ9vL4nRt8Z"),
        ("PUT", "/api/shared-reports/x7Kp2mQ9vL4nRt8Z"),
        ("*", "/abc"),
        ("GET", "/api/shared-reports/"),
        ("GET", "/api//shared-reports"),
        ("GET", "/"),
        ("GET", "/api/shared-reports/\u00e9"),
        ("GET", "/api/videos/a1b2c3d4/shared-reports?limit=1"),
    ],
)
async def test_so_does_any_other(service: Service, method: str, path: str) -> None:
    router = service.app.router
    request = make_mocked_request(method, path)
    found, searched = await router.resolve(request), await type(router).resolve(router, request)
    assert (found.route, dict(found)) == (searched.route, dict(searched))
