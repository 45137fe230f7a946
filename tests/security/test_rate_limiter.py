"""Who guesses is slowed down, who knows never is; and a key's creates have a limit."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from support.harness import Caller, FakeClock, Response, Service, Start, is_problem
from support.limits import LOCAL, is_limit

from service.app import ROUTES
from service.config import Config
from service.domain.errors import LimitedError
from service.security.rate_limiter import RateLimiter
from service.web.app_keys import LOOKUP_LIMITER

UNKNOWN = "A" * 16


STRANGER = f"lvz_live_{'0' * 64}"


# Every call that takes a share hash.
VIEWS = [
    ("GET", "/api/shared-reports/{}"),
    ("POST", "/api/shared-reports/{}/unlock"),
    ("GET", "/api/shared-reports/{}/segments"),
    ("GET", "/r/{}"),
    ("POST", "/r/{}"),
    ("GET", "/r/{}/analysis.json"),
    ("GET", "/r/{}/analysis.csv"),
    ("GET", "/r/{}/transcript.vtt"),
    ("GET", "/r/{}/transcript.srt"),
    ("GET", "/r/{}/qr.svg"),
]


VIEW = VIEWS[0][1]


@pytest.fixture
async def limited(start: Start, config: Config) -> Service:
    service = await start(replace(config, lookup_rate_limit=3, create_rate_limit=5))
    await service.alice.put_video()
    return service


async def statuses(caller: Caller, path: str, times: int, method: str = "GET") -> list[int]:
    body = b"{}" if method == "POST" else None
    return [(await caller.call(method, path, body)).status for _ in range(times)]


@pytest.mark.parametrize(("method", "path"), VIEWS)
async def test_rate_limiter_slows_guesses_but_not_views_of_known_links(
    limited: Service, method: str, path: str
) -> None:
    share_hash = (await limited.alice.share())["share_hash"]
    public, unknown = limited.public, path.format(UNKNOWN)
    assert await statuses(public, unknown, 4, method) == [404, 404, 404, 429]
    answer = await public.call(method, unknown)
    assert is_limit(answer, "guesses", 3, 20)
    if path.startswith("/api/"):
        assert is_problem(answer, 429, "too-many-requests")
    else:
        assert b"There is no report here" in answer.body
    found = await statuses(public, path.format(share_hash), 5, method)
    assert found == [303 if (method, path) == ("POST", "/r/{}") else 200] * 5
    limited.clock.advance(20)
    assert await statuses(public, unknown, 2, method) == [404, 429]
    limited.clock.advance(3600)
    assert await statuses(public, unknown, 4, method) == [404, 404, 404, 429]


def test_rate_limiter_cases_cover_every_route_with_a_share_hash() -> None:
    taking = {(route.method, route.path) for route in ROUTES if "{share_hash}" in route.path}
    assert taking == {(method, path.format("{share_hash}")) for method, path in VIEWS}


@pytest.mark.parametrize(("method", "path"), VIEWS)
async def test_rate_limiter_does_not_count_views_of_an_expired_link(
    limited: Service, method: str, path: str
) -> None:
    share_hash = (await limited.alice.share(expires_at="2025-01-15T10:00:01"))["share_hash"]
    limited.clock.advance(1)
    assert await statuses(limited.public, path.format(share_hash), 20, method) == [410] * 20
    assert (await limited.public.call(method, path.format(UNKNOWN))).status == 404


async def test_rate_limiter_counts_unknown_keys_and_lets_valid_ones_through(
    limited: Service,
) -> None:
    stranger = Caller(limited.client, STRANGER)
    assert await statuses(stranger, "/api/videos", 4) == [401, 401, 401, 429]
    assert is_limit(await stranger.get("/api/videos"), "guesses", 3, 20)
    assert (await limited.alice.get("/api/videos")).status == 200


@pytest.mark.parametrize("key", [None, "lvz_live_0", "Basic YTpi"])
async def test_rate_limiter_does_not_count_malformed_keys(
    limited: Service, key: str | None
) -> None:
    assert await statuses(Caller(limited.client, key), "/api/videos", 9) == [401] * 9


async def test_rate_limiter_does_not_count_objects_of_another_user(limited: Service) -> None:
    assert await statuses(limited.bob, "/api/videos/job-1", 9) == [404] * 9


async def test_rate_limiter_can_be_switched_off(start: Start, config: Config) -> None:
    service = await start(replace(config, lookup_rate_limit=None, create_rate_limit=None))
    assert await statuses(service.public, VIEW.format(UNKNOWN), 200) == [404] * 200
    assert len(service.app[LOOKUP_LIMITER]) == 0


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        ("203.0.113.7", "203.0.113.7", 429),
        ("203.0.113.7", "203.0.113.8", 404),
        ("2001:db8::1", "2001:db8::ffff:1", 429),
        ("2001:db8::1", "2001:db8:0:1::1", 404),
        ("::ffff:203.0.113.7", "::ffff:203.0.113.8", 404),
    ],
)
async def test_rate_limiter_counts_by_client_address_or_network(
    start: Start, config: Config, first: str, second: str, status: int
) -> None:
    service = await start(replace(config, lookup_rate_limit=1, trusted_proxies=LOCAL))
    path = VIEW.format(UNKNOWN)
    seen = [
        (await service.public.get(path, headers={"X-Forwarded-For": each})).status
        for each in (first, first, second)
    ]
    assert seen == [404, 429, status]


async def test_rate_limiter_ignores_forwarded_headers_of_untrusted_clients(
    limited: Service,
) -> None:
    path = VIEW.format(UNKNOWN)
    seen = [
        (await limited.public.get(path, headers={"X-Forwarded-For": f"203.0.113.{n}"})).status
        for n in range(4)
    ]
    assert seen == [404, 404, 404, 429]


CREATES: dict[str, Callable[[Caller, int], Awaitable[Response]]] = {
    "link": lambda caller, _: caller.post("/api/shared-reports", {"video_id": "job-1"}),
    "key": lambda caller, n: caller.post("/api/keys", {"name": str(n)}),
    "video": lambda caller, n: caller.put(f"/api/videos/{n}", {"name": "x"}),
}


@pytest.mark.parametrize("what", CREATES)
async def test_rate_limiter_limits_the_creates_of_each_key(limited: Service, what: str) -> None:
    alice = limited.alice  # who has put a video
    seen = [await CREATES[what](alice, n) for n in range(5)]
    assert [each.status for each in seen] == [201] * 4 + [429]
    assert is_limit(seen[-1], "creates", 5, 12)
    assert is_problem(seen[-1], 429, "too-many-requests")
    assert (await alice.get("/api/videos/job-1")).status == 200
    await limited.bob.put_video()
    limited.clock.advance(12)
    assert (await alice.share())["is_active"] == 1


def allowed(limit: RateLimiter, who: object) -> bool:
    try:
        limit.acquire(who)
    except LimitedError:
        return False
    return True


@pytest.mark.parametrize("per_minute", [1, 7, 59, 60, 1000, 999_983])
def test_rate_limiter_allows_a_burst_of_one_minute_then_a_steady_rate(per_minute: int) -> None:
    clock = FakeClock()
    limit = RateLimiter("guesses", per_minute, clock)
    burst = min(per_minute, 5000)
    assert all(allowed(limit, "x") for _ in range(burst))
    if burst == per_minute:
        assert not allowed(limit, "x")
        for _ in range(10):
            clock.advance(60 / per_minute)
            assert allowed(limit, "x")
            assert not allowed(limit, "x")


def test_rate_limiter_reports_a_sufficient_wait() -> None:
    clock = FakeClock()
    limit = RateLimiter("guesses", 7, clock)
    while True:
        try:
            limit.acquire("x")
        except LimitedError as error:
            clock.advance(error.retry_after)
            break
    assert allowed(limit, "x")


def test_rate_limiter_prolongs_no_wait_when_the_clock_is_set_back() -> None:
    clock = FakeClock()
    limit = RateLimiter("guesses", 2, clock)
    assert [allowed(limit, "x") for _ in range(3)] == [True, True, False]
    clock.advance(-86400)
    assert [allowed(limit, "x") for _ in range(3)] == [True, True, False]
    clock.advance(30)
    assert [allowed(limit, "x") for _ in range(2)] == [True, False]


def test_rate_limiter_bounds_its_table_and_evicts_nobody() -> None:
    clock = FakeClock()
    limit = RateLimiter("guesses", 2, clock)
    assert [allowed(limit, "first") for _ in range(3)] == [True, True, False]
    passed = sum(allowed(limit, n) for n in range(50_000))
    assert len(limit) == 10_001
    assert passed == 9_999 + 2  # those that have not found room share a bucket
    assert not allowed(limit, "first")
    clock.advance(60)
    assert allowed(limit, "newcomer")
    assert len(limit) == 1  # buckets that are full again are forgotten
    assert all(allowed(limit, n) for n in range(100))
