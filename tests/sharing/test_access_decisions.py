"""Who is shown a link's report: every state of the row together with every token."""

import dataclasses
from typing import Any

import pytest
from support.access import PASSWORD, statuses, token_for
from support.harness import Service, Start
from support.links import AFTER, COMBINATIONS, ROUTES, change, status_of, write

from service.config import Config
from service.security.access_tokens import Tokens
from service.web.app_keys import REPOSITORIES

SEGMENTS = ROUTES[1]
SILENT = [path for path in ROUTES if path not in {ROUTES[0], ROUTES[2]}]
"""The routes that never are a view."""
CODES = {"active": 401, "scheduled": 404, "inactive": 404, "expired": 410, "exhausted": 410}


@pytest.fixture
async def service(start: Start, config: Config) -> Service:
    service = await start(dataclasses.replace(config, lookup_rate_limit=None))
    await service.alice.put_video()
    return service


def expected(row: dict[str, Any], *, has_token: bool) -> int:
    """Return the status code by the text of the rules."""
    status = status_of(row)
    if status == "active" and (has_token or row["max_views"] is None):
        return 200
    if status == "exhausted" and has_token and row["not_before"] != AFTER:
        return 200  # the last view may be looked at again, but not before the link works
    return CODES[status]


async def test_access_is_one_function_of_row_clock_and_token(service: Service) -> None:
    """Tokens: none, a valid one, an expired one, another link's."""
    access = service.app[REPOSITORIES].access
    tokens = Tokens(access.signing_key)
    other = await service.alice.share(max_views=5)
    others = await token_for(service, other["share_hash"])
    for row in COMBINATIONS:
        report = await service.alice.share()
        write(service, report["id"], row)
        link = await access.find(report["share_hash"], "2025-01-15T10:00:00")
        assert link is not None
        valid = tokens.make(link.requirements, "2025-01-15T10:00:00").token
        ended = tokens.make(link.requirements, "2025-01-15T09:45:00").token
        for token, has_token in ((None, False), (valid, True), (ended, False), (others, False)):
            headers = {} if token is None else {"X-Share-Token": token}
            path = SEGMENTS.format(report["share_hash"])
            answer = await service.public.get(path, headers=headers)
            assert answer.status == expected(row, has_token=has_token), (row, has_token)


async def test_token_of_an_exhausted_link_shows_nothing_before_not_before(
    service: Service,
) -> None:
    report = await service.alice.share(max_views=1)
    token = await token_for(service, report["share_hash"])
    assert await statuses(service, report["share_hash"], token) == [200] * len(ROUTES)
    await change(service, report, not_before="2025-01-15T10:10:00")
    assert await statuses(service, report["share_hash"], token) == [410] * len(ROUTES)
    await service.advance(600)
    assert await statuses(service, report["share_hash"], token) == [200] * len(ROUTES)


@pytest.mark.parametrize("password", [None, PASSWORD])
async def test_token_ends_for_good_when_the_view_limit_is_removed(
    service: Service, password: str | None
) -> None:
    """A limit that is set again is a limit where there was none, within the same second, too."""
    report = await service.alice.share(max_views=5, password=password)
    token = await token_for(service, report["share_hash"], password)
    await change(service, report, max_views=6)  # another limit leaves it as it is
    assert await statuses(service, report["share_hash"], token) == [200] * len(ROUTES)
    await change(service, report, max_views=None)
    again = await change(service, report, max_views=5)
    assert again["view_count"] == 1
    for path in SILENT:
        headers = {"X-Share-Token": token}
        answer = await service.public.get(path.format(report["share_hash"]), headers=headers)
        assert answer.status == 401
    assert await token_for(service, report["share_hash"], password)


@pytest.mark.parametrize("password", [None, PASSWORD])
async def test_token_ends_for_good_when_the_link_is_switched_off(
    service: Service, password: str | None
) -> None:
    """Its owner ends all access. Whoever is to have it again unlocks the link again."""
    report = await service.alice.share(max_views=5, password=password)
    token = await token_for(service, report["share_hash"], password)
    await change(service, report, is_active=True, label="x")  # it is on, and stays on
    assert await statuses(service, report["share_hash"], token) == [200] * len(ROUTES)
    await change(service, report, is_active=False)
    assert await statuses(service, report["share_hash"], token) == [404] * len(ROUTES)
    await change(service, report, is_active=True)
    for path in SILENT:
        headers = {"X-Share-Token": token}
        answer = await service.public.get(path.format(report["share_hash"]), headers=headers)
        assert answer.status == 401
    assert await token_for(service, report["share_hash"], password)


async def test_token_ends_for_good_when_the_password_is_removed(service: Service) -> None:
    report = await service.alice.share(max_views=5, password=PASSWORD)
    token = await token_for(service, report["share_hash"], PASSWORD)
    await change(service, report, password=None)
    await change(service, report, password=PASSWORD)
    assert await statuses(service, report["share_hash"], token) == [401] * len(ROUTES)
