"""Every route of the console: no page without its owner, no form without its token."""

import re
from dataclasses import dataclass
from typing import Any

import pytest
from support.console import Console, read_forms, signed_in
from support.docs import ROOT, code, rows
from support.harness import Caller, Response, Service

from service.app import CONSOLE_ROUTES
from service.web.console.routing import ConsoleRoute
from service.web.pages.rendering import STYLES

PAGES = [route for route in CONSOLE_ROUTES if route.method == "GET" and route.needs_session]
ACTIONS = [route for route in CONSOLE_ROUTES if route.method == "POST"]
OWNED = [route for route in CONSOLE_ROUTES if "{" in route.path and route.needs_session]
VISITOR = {("GET", "/console/sign-in"), ("POST", "/console/sign-in")} | {
    ("GET", "/console/sign-in/{code}")
}
PASSED_ON = {"/console", "/console/"}
"""Pages that only lead elsewhere."""


@dataclass
class World:
    """What a user has, as a state that can be compared, and a browser that is signed in."""

    service: Service
    owner: Caller
    console: Console
    values: dict[str, str]

    def path(self, route: ConsoleRoute) -> str:
        return route.path.format(**self.values).removeprefix("/console")

    async def state(self) -> list[Any]:
        answers = [
            await self.owner.get(path)
            for path in (
                *("/api/videos", "/api/shared-reports", "/api/webhooks", "/api/events"),
                f"/api/webhooks/{self.values['webhook_id']}/deliveries",
                "/api/keys",
            )
        ]
        *others, hooks, events, deliveries, keys = [answer.json for answer in answers]
        return [
            *others,
            [hook | {"failing_since": None} for hook in hooks],  # a try may be under way
            events,
            [delivery["id"] for delivery in deliveries],
            [key | {"last_used_at": None} for key in keys],
        ]


async def make_world(service: Service, owner: Caller) -> World:
    video = await owner.put_video(segments=[{"module": "m", "start_time": 0, "end_time": 1}])
    link = await owner.share(label="canary label")
    key = (await owner.post("/api/keys", {"name": "canary key"})).json
    webhook = (await owner.post("/api/webhooks", {"url": "https://canary.invalid/"})).json["id"]
    delivery = (await owner.post(f"/api/webhooks/{webhook}/test")).json["id"]
    await owner.patch(f"/api/webhooks/{webhook}", {"is_active": False})  # nothing is called
    values = {
        "webhook_id": webhook,
        "delivery_id": delivery,
        "video_id": video["id"],
        "report_id": link["id"],
        "key_id": key["id"],
    }
    console = await signed_in(service, owner)
    return World(service, owner, console, values)


@pytest.fixture
async def world(service: Service, alice: Caller) -> World:
    return await make_world(service, alice)


def test_routes_without_a_session_are_those_that_sign_in() -> None:
    visitors = {(route.method, route.path) for route in CONSOLE_ROUTES if not route.needs_session}
    assert visitors == VISITOR


async def test_pages_need_a_session(world: World) -> None:
    stranger = Console(world.service)
    for route in PAGES:
        answer = await stranger.get(world.path(route))
        assert (answer.status, answer.body) == (303, b""), route.path
        assert answer.headers["Location"].endswith("sign-in")
        if route.path not in PASSED_ON:
            assert (await world.console.get(world.path(route))).status == 200, route.path


async def test_pages_lead_to_the_sign_in_from_any_depth(world: World) -> None:
    for route in PAGES:
        path = f"/console{world.path(route)}"
        answer = await Console(world.service).get(world.path(route))
        target = world.service.client.make_url(path).join(
            world.service.client.make_url("/").__class__(answer.headers["Location"])
        )
        assert target.path == "/console/sign-in", route.path


async def test_forms_carry_the_token_of_their_session(world: World) -> None:
    """Each form that changes anything; those that look for something are sent as GET."""
    tokens, count = set(), 0
    for route in PAGES:
        page = await world.console.get(world.path(route))
        for form in read_forms(page).forms:
            if form.method == "post":
                tokens |= {value for name, value in form.fields if name == "csrf"}
                count += 1
                assert "csrf" in form.names, route.path
            else:
                assert "csrf" not in form.names, route.path
    assert len(tokens) == 1
    assert count > len(ACTIONS)
    other = await signed_in(world.service, world.owner)
    [form, *_] = read_forms(await other.get("/videos")).forms
    assert tokens.isdisjoint(value for _, value in form.fields)


async def test_actions_are_rejected_without_their_token(world: World) -> None:
    before = await world.state()
    foreign = await signed_in(world.service, world.service.bob)
    [form, *_] = read_forms(await foreign.get("/videos")).forms
    [other_token] = [value for name, value in form.fields if name == "csrf"]
    for route in ACTIONS:
        for token in ({}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": other_token}):
            answer = await world.console.send(world.path(route), token | {"name": "x"})
            assert answer.status == 403, route.path
            assert b"Nothing was changed" in answer.body
        answer = await Console(world.service).send(world.path(route), {"csrf": other_token})
        assert answer.status == (401 if route.needs_session else 403), route.path
    assert await world.state() == before


async def test_actions_are_rejected_from_another_site(world: World) -> None:
    before = await world.state()
    token = token_of(await world.console.get("/videos"))
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example.com"},
        {"Origin": "http://127.0.0.1:1"},
    ):
        for route in ACTIONS:
            if route.needs_session:
                path = world.path(route)
                answer = await world.console.send(path, {"csrf": token}, **headers)
                assert answer.status == 403, (route.path, headers)
    assert await world.state() == before
    url = world.service.client.make_url("/")
    own = {"Sec-Fetch-Site": "same-origin", "Origin": str(url.origin())}
    answer = await world.console.send("/keys", {"csrf": token, "name": "mine"}, **own)
    assert answer.status == 201


def token_of(page: Response) -> str:
    [form, *_] = read_forms(page).forms
    return dict(form.fields)["csrf"]


async def test_routes_show_and_change_nothing_of_another_user(world: World, bob: Caller) -> None:
    """Ids are guessable: each route with one is a 404 to everybody but its owner."""
    before = await world.state()
    thief = await signed_in(world.service, bob)
    token = token_of(await thief.get("/videos"))
    assert OWNED
    for route in OWNED:
        for values in (
            world.values,
            dict.fromkeys(world.values, "999"),
            dict.fromkeys(world.values, "x"),
        ):
            path = route.path.format(**values).removeprefix("/console")
            if route.method == "GET":
                answer = await thief.get(path)
            else:
                answer = await thief.send(path, {"csrf": token, "is_active": "on"})
            assert answer.status == 404, (route.path, values)
            assert b"canary" not in answer.body
    for page in PAGES:
        if "{" not in page.path:
            assert b"canary" not in (await thief.get(world.path(page))).body, page.path
    assert await world.state() == before


async def test_pages_are_isolated_and_not_kept(world: World) -> None:
    for route in PAGES:
        if route.path in PASSED_ON or route.path.endswith(".svg"):
            continue
        answer = await world.console.get(world.path(route))
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'; style-src 'sha256-" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "script" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert b"<script" not in answer.body
        assert b"style=" not in answer.body, route.path


async def test_pages_name_the_console_by_relative_addresses(world: World) -> None:
    """A proxy may add a path before it that the service does not know."""
    for route in PAGES:
        answer = await world.console.get(world.path(route))
        for form in read_forms(answer).forms:
            assert not form.action.startswith("/"), route.path
        assert b'href="/' not in answer.body, route.path
        assert not answer.headers.get("Location", "").startswith("/")


async def test_malformed_requests_get_an_error_page(world: World) -> None:
    cases = {
        b"csrf=%FF": 400,
        b"&".join(b"a=%d" % n for n in range(500)): 400,
        b"csrf=%00": 400,
        b"x" * 70_000: 413,
    }
    for body, status in cases.items():
        answer = await world.console.caller.post(
            "/console/keys",
            body,
            headers=world.console._sent({"Content-Type": "application/x-www-form-urlencoded"}),
        )
        assert answer.status == status, body[:20]
        assert answer.headers["Content-Type"].startswith("text/html")
    host = await world.console.get("/links/1", Host='"><script>')
    assert host.status == 400
    assert b"<script>" not in host.body


def test_document_lists_every_route() -> None:
    table = [(code(route)[0], summary) for route, summary in rows("console", "Routes")]
    assert table == [(f"{route.method} {route.path}", route.summary) for route in CONSOLE_ROUTES]


def test_templates_share_no_class_with_the_report_page() -> None:
    """Both styles are on a page of the console: a class means one thing."""
    folder = ROOT / "service/web/console/templates"
    pattern = re.compile(r'class="([^"]*)"')
    classes = {
        name
        for file in folder.glob("*.html")
        for value in pattern.findall(file.read_text())
        for name in re.sub(r"\{.*?\}\}?", " ", value).split()
    }
    style = re.sub(r"\d*\.\d+", "", STYLES["style.css"])
    assert classes & set(re.findall(r"\.([a-z][\w-]*)", style)) == {"skip"}
