"""Views by bots are counted apart from people's, and use up no limit."""

import asyncio
from typing import Any

import pytest
from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from support.docs import rows
from support.harness import CHROME, Service, is_problem
from support.links import LIST, ROUTES, change

from service.domain.errors import UnavailableError
from service.repositories.base import TakeViews
from service.web import bots
from service.web.app_keys import REPOSITORIES, VIEWS

JSON, PAGE = ROUTES[0], ROUTES[2]
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"
)
CHROME_ON_ANDROID = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Mobile Safari/537.36"
)
TWITTERBOT, CURL = {"User-Agent": "Twitterbot/1.0"}, {"User-Agent": "curl/8.5.0"}

AGENTS: dict[str, tuple[dict[str, str], str, str]] = {
    "Chrome": ({"User-Agent": CHROME}, "view", "view"),
    "Firefox": ({"User-Agent": FIREFOX}, "view", "view"),
    "Safari on an iPhone": ({"User-Agent": SAFARI}, "view", "view"),
    "Chrome, prefetching": (
        {"User-Agent": CHROME_ON_ANDROID, "Sec-Purpose": "prefetch;prerender"},
        "bot view",
        "bot view",
    ),
    "Firefox, prefetching": (
        {"User-Agent": FIREFOX, "X-Moz": "prefetch"},
        "bot view",
        "bot view",
    ),
    "Twitterbot": (TWITTERBOT, "bot view", "bot view"),
    "Slackbot": (
        {"User-Agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"},
        "bot view",
        "bot view",
    ),
    "facebookexternalhit": (
        {"User-Agent": "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)"},
        "bot view",
        "bot view",
    ),
    "Googlebot": (
        {
            "User-Agent": "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; "
            "Googlebot/2.1; +http://www.google.com/bot.html) Chrome/131.0.0.0 Safari/537.36"
        },
        "bot view",
        "bot view",
    ),
    "UptimeRobot": (
        {"User-Agent": "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)"},
        "bot view",
        "bot view",
    ),
    "curl": (CURL, "bot view", "view"),
    "python-requests": ({"User-Agent": "python-requests/2.32.3"}, "bot view", "view"),
    "aiohttp": ({"User-Agent": "Python/3.11 aiohttp/3.14.5"}, "bot view", "view"),
}
"""The headers of an agent, and how its GET of the page and of the API's view is counted."""

BOTS: list[dict[str, str]] = [
    TWITTERBOT,
    {"Purpose": "prefetch"},
    {"Sec-Purpose": "prefetch;anonymous-client-ip"},
    {"X-Purpose": "Preview"},
]


async def counts(service: Service) -> list[tuple[int, int, str | None]]:
    """The views, the bots' views and the time of the latest view of each link, once written."""
    await service.app[VIEWS].write()
    listed = (await service.alice.get(LIST)).json
    return [
        (report["view_count"], report["bot_view_count"], report["last_viewed_at"])
        for report in listed
    ]


@pytest.fixture
async def report(service: Service) -> Any:
    await service.alice.put_video()
    return await service.alice.share()


@pytest.mark.parametrize("route", [PAGE, JSON])
@pytest.mark.parametrize("agent", AGENTS)
async def test_bot_view_of_real_agents(
    service: Service, report: Any, agent: str, route: str
) -> None:
    headers, on_page, on_api = AGENTS[agent]
    for _ in range(2):
        answer = await service.public.get(route.format(report["share_hash"]), headers=headers)
        assert answer.status == 200
    is_view = (on_page if route == PAGE else on_api) == "view"
    time = "2025-01-15T10:00:00" if is_view else None
    assert await counts(service) == [(2, 0, time) if is_view else (0, 2, time)]


def test_bot_view_table_of_the_docs_is_the_tested_one() -> None:
    expected = []
    for name, (headers, on_page, on_api) in AGENTS.items():
        purposes = [f"{key}: {value}" for key, value in headers.items() if key != "User-Agent"]
        sent = ", ".join(f"`{text}`" for text in (headers["User-Agent"], *purposes))
        expected.append([name, sent, on_page, on_api])
    assert rows("links", "Counting views") == expected


@pytest.mark.parametrize("route", [PAGE, JSON])
@pytest.mark.parametrize("headers", BOTS, ids=str)
async def test_bot_view_is_no_view_and_changes_no_time(
    service: Service, report: Any, headers: dict[str, str], route: str
) -> None:
    path = route.format(report["share_hash"])
    assert (await service.public.get(path, headers={"User-Agent": CHROME})).status == 200
    await service.advance(60)
    assert (await service.public.get(path, headers={"User-Agent": CHROME} | headers)).status == 200
    assert await counts(service) == [(1, 1, "2025-01-15T10:00:00")]
    assert (await service.public.get(path, headers={"User-Agent": CHROME} | headers)).status == 200
    assert await counts(service) == [(1, 2, "2025-01-15T10:00:00")]
    assert (await service.public.get(path, headers={"User-Agent": CHROME} | headers)).status == 200
    assert (await change(service, report, label="x"))["last_viewed_at"] == "2025-01-15T10:00:00"
    assert await counts(service) == [(1, 3, "2025-01-15T10:00:00")]


@pytest.mark.parametrize("value", ["", "same-origin", "navigate", "none"])
async def test_bot_view_is_none_with_another_purpose(
    service: Service, report: Any, value: str
) -> None:
    await service.public.get(
        JSON.format(report["share_hash"]), headers={"Sec-Purpose": value, "User-Agent": CHROME}
    )
    assert [row[:2] for row in await counts(service)] == [(1, 0)]


async def test_bot_view_of_head_is_counted_where_a_get_is_a_view(
    service: Service, report: Any
) -> None:
    for path in ROUTES:
        answer = await service.public.call("HEAD", path.format(report["share_hash"]))
        assert answer.status == 200
    assert await counts(service) == [(0, 2, None)]


@pytest.mark.parametrize("headers", [{}, TWITTERBOT], ids=["person", "bot"])
async def test_view_of_another_part_of_a_page_is_counted_nowhere(
    service: Service, report: Any, headers: dict[str, str]
) -> None:
    path = PAGE.format(report["share_hash"])
    for query in ("?part=1", "?part=2", "?part=", "?utm_source=x&part=3"):
        for method in ("GET", "HEAD"):
            answer = await service.public.call(method, path + query, headers=headers)
            assert answer.status == 200
    assert await counts(service) == [(0, 0, None)]
    await service.public.get(f"{path}?utm_source=x", headers=headers)
    assert sum((await counts(service))[0][:2]) == 1


@pytest.mark.parametrize("headers", BOTS, ids=str)
async def test_bot_costs_no_view_of_a_limited_link(
    service: Service, report: Any, headers: dict[str, str]
) -> None:
    await change(service, report, max_views=1)
    path = JSON.format(report["share_hash"])
    for _ in range(3):
        answer = await service.public.get(path, headers=headers)
        assert is_problem(answer, 401, "open-required")
        page = await service.public.get(PAGE.format(report["share_hash"]), headers=headers)
        assert (page.status, b"Product Demo" in page.body) == (200, False)
    assert await counts(service) == [(0, 0, None)]
    grant = (await service.public.post(f"{path}/unlock", {}, headers=headers)).json
    shown = await service.public.get(path, headers=headers | {"X-Share-Token": grant["token"]})
    assert shown.status == 200
    assert await counts(service) == [(1, 0, "2025-01-15T10:00:00")]
    assert is_problem(await service.public.get(path), 410, "exhausted")


@pytest.mark.parametrize("headers", [CURL, {"User-Agent": ""}, {"User-Agent": "x" * 5_000}])
async def test_program_views_a_limited_link_of_the_api_at_once(
    service: Service, report: Any, headers: dict[str, str]
) -> None:
    await change(service, report, max_views=1)
    answer = await service.public.get(JSON.format(report["share_hash"]), headers=headers)
    assert answer.status == 200
    assert await counts(service) == [(1, 0, "2025-01-15T10:00:00")]


async def test_bot_views_of_a_failed_statement_are_counted_once(
    service: Service, report: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = JSON.format(report["share_hash"])

    async def view_as_both() -> None:
        await service.public.get(path)
        await service.public.get(path, headers=TWITTERBOT)

    async def fail(take_views: TakeViews) -> None:
        take_views()  # the statement takes them
        await service.public.get(path, headers=TWITTERBOT)
        raise UnavailableError("Not now.")

    await view_as_both()
    with monkeypatch.context() as broken:
        broken.setattr(service.app[REPOSITORIES].links, "add_views", fail)
        with pytest.raises(UnavailableError):
            await service.app[VIEWS].write()
    assert await counts(service) == [(1, 2, "2025-01-15T10:00:00")]


async def test_bot_views_in_memory_are_in_the_answer_of_a_change(
    service: Service, report: Any
) -> None:
    path = JSON.format(report["share_hash"])
    await service.public.get(path, headers=TWITTERBOT)
    changed = await change(service, report, max_views=1)
    assert (changed["view_count"], changed["bot_view_count"]) == (0, 1)
    assert (changed["status"], changed["last_viewed_at"]) == ("active", None)
    assert list(changed)[-2:] == ["bot_view_count", "sender"]


async def test_bot_is_looked_up_once_for_each_agent(
    service: Service, report: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an agent only the first characters are looked at, and so is the answer kept by them."""
    looked_at: list[str] = []

    class Expression:
        def search(self, agent: str) -> None:
            looked_at.append(agent)

    bots._classify.cache_clear()
    monkeypatch.setattr(bots, "load_agents", lambda: ([Expression()], []))
    path = JSON.format(report["share_hash"])
    for rest in ("a", "b", "c" * 5_000):
        headers = {"User-Agent": "Spider" * 50 + rest}
        assert (await service.public.get(path, headers=headers)).status == 200
    bots._classify.cache_clear()
    assert looked_at == [("Spider" * 50)[: bots.AGENT_LENGTH]]


async def test_bot_is_looked_for_only_when_a_report_is_shown(service: Service, report: Any) -> None:
    await service.alice.patch(f"/api/shared-reports/{report['id']}", {"is_active": False})
    before = bots._classify.cache_info()
    for path in (JSON, PAGE):
        for share_hash in (report["share_hash"], "x" * 16):
            answer = await service.public.get(
                path.format(share_hash), headers={"User-Agent": "never seen before"}
            )
            assert answer.status == 404
    after = bots._classify.cache_info()
    assert (after.hits, after.misses) == (before.hits, before.misses)


def test_bot_lookup_keeps_a_bounded_number_of_agents() -> None:
    assert bots._classify.cache_info().maxsize == 4_096


def test_bot_is_known_by_each_example_of_the_list() -> None:
    """Neither the cut nor the division into chunks loses one of the library's own examples."""
    examples = [agent for entry in CRAWLER_USER_AGENTS_DATA for agent in entry.get("instances", ())]
    assert len(examples) > 1_000
    missed = [
        agent
        for agent in examples
        if not any(bots._classify.__wrapped__(agent[: bots.AGENT_LENGTH]))
    ]
    assert missed == []


async def test_bot_views_of_concurrent_readers_are_exact(service: Service, report: Any) -> None:
    path = JSON.format(report["share_hash"])
    calls = [
        service.public.get(path, headers=TWITTERBOT if number % 3 else CURL) for number in range(60)
    ]
    await asyncio.gather(*calls)
    assert [row[:2] for row in await counts(service)] == [(20, 40)]
