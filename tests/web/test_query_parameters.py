"""Query parameters that a route does not have."""

import re

import pytest
from support.harness import Caller, is_problem

from service.app import ROUTES
from service.web.routing import Route

OWNED = [route for route in ROUTES if route.owned]


@pytest.mark.parametrize("route", OWNED, ids=lambda route: route.operation)
async def test_owned_route_names_unknown_parameters(alice: Caller, route: Route) -> None:
    path = re.sub(r"\{\w+\}", "x", route.path)
    answer = await alice.call(route.method, f"{path}?satus=expired&a%60=1&a%60=2")
    assert is_problem(answer, 422, "invalid-request")
    takes = ", ".join(f"`{name}`" for name in sorted(route.query)) or "none"
    assert answer.json["detail"] == (
        f"Unknown query parameters: `satus`, `a``. This call takes: {takes}."
    )


async def test_rejected_call_changes_nothing(alice: Caller) -> None:
    await alice.put_video()
    link = await alice.share()
    answer = await alice.delete(f"/api/shared-reports/{link['id']}?really=no")
    assert is_problem(answer, 422, "invalid-request")
    assert (await alice.get("/api/shared-reports")).json == [link]


async def test_unknown_parameters_are_shown_in_bounded_length(alice: Caller) -> None:
    query = "&".join(f"{n}{'x' * 500}" for n in range(12))
    answer = await alice.get(f"/api/videos?{query}")
    assert is_problem(answer, 422, "invalid-request")
    assert len(answer.json["detail"]) < 400


async def test_unknown_parameters_need_a_key_first(public: Caller) -> None:
    assert is_problem(await public.get("/api/videos?satus=x"), 401, "unauthorized")


async def test_viewers_may_add_parameters(alice: Caller, public: Caller) -> None:
    await alice.put_video()
    share_hash = (await alice.share())["share_hash"]
    for path in (f"/r/{share_hash}", f"/api/shared-reports/{share_hash}", "/docs", "/livez"):
        assert (await public.get(f"{path}?utm_source=chat&fbclid=1")).status == 200
