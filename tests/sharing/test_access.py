"""Protected links: what is a view, and what a token opens."""

import asyncio
import dataclasses
import re
from typing import Any

import pytest
from support.access import (
    JSON,
    PAGE,
    PASSWORD,
    PROBLEM_TYPES,
    SEGMENTS,
    counted,
    service_without_limits,
    statuses,
    submit,
    token_for,
    unlock,
)
from support.harness import Service, Start, is_problem
from support.links import ROUTES, change
from support.pages import text

from service.config import Config
from service.sharing.access import AccessService
from service.web.app_keys import ACCESS

SILENT = [path for path in ROUTES if path not in {JSON, PAGE}]
"""What never is a view."""


HER = re.compile(b"Product Demo|canary", re.IGNORECASE)
"""What stands in a report, and must not stand in front of one."""


service = pytest.fixture(service_without_limits)


def browser(service: Service) -> None:
    """Begin as a browser that has been nowhere."""
    service.client.session.cookie_jar.clear()


ALL_SHOWN = [200] * len(ROUTES)


async def test_view_of_the_json_counts_and_gives_a_token_for_15_minutes(
    service: Service,
) -> None:
    report = await service.alice.share(max_views=2)
    assert (report["max_views"], report["has_password"], report["view_count"]) == (2, 0, 0)
    path = JSON.format(report["share_hash"])
    first = await service.public.get(path)
    assert first.status == 200
    assert first.json["video"]["name"] == "Product Demo"
    token = first.headers["X-Share-Token"]
    await service.advance(15 * 60 - 1)
    assert await statuses(service, report["share_hash"], token) == ALL_SHOWN
    again = await service.public.get(path, headers={"X-Share-Token": token})
    assert again.body == first.body
    assert "X-Share-Token" not in again.headers
    assert await counted(service, report) == 1
    await service.advance(1)
    ended = await service.public.get(path, headers={"X-Share-Token": token})
    assert is_problem(ended, 401, "open-required")  # and costs no view
    assert await counted(service, report) == 1


@pytest.mark.parametrize("kind", PROBLEM_TYPES)
async def test_page_counts_a_view_only_when_its_form_is_sent(service: Service, kind: str) -> None:
    report = await service.alice.share(**PROBLEM_TYPES[kind])
    page = PAGE.format(report["share_hash"])
    preview = await service.public.get(page)
    for _ in range(3):
        preview = await service.public.get(page)
        assert preview.status == (200 if kind == "limited" else 401)
        assert (await service.public.call("HEAD", page)).status == preview.status
    assert "Open the report" in text(preview)
    assert ('type="password"' in preview.body.decode()) == (kind != "limited")
    assert not HER.search(preview.body + repr(preview.headers).encode())
    assert await counted(service, report) == 0
    fields = {} if kind == "limited" else {"password": PASSWORD}
    opened = await submit(service, report["share_hash"], **fields)
    assert (opened.status, opened.body) == (303, b"")
    assert opened.headers["Location"] == report["share_hash"]
    assert await counted(service, report) == 1
    for _ in range(3):
        assert "Product Demo" in text(await service.public.get(page))
    downloads = [(await service.public.get(path.format(report["share_hash"]))) for path in SILENT]
    assert [each.status for each in downloads[1:]] == [200] * (len(SILENT) - 1)
    assert downloads[0].status == 401  # the cookie is the page's, and not the API's
    assert (await submit(service, report["share_hash"])).status == 303  # sent again: it is open
    assert await counted(service, report) == 1
    await service.advance(15 * 60)
    assert "Open the report" in text(await service.public.get(page))
    assert await counted(service, report) == 1


@pytest.mark.parametrize("base", ["https://reports.example.com/v1", "http://x.example"])
async def test_cookie_is_limited_to_one_link_and_hidden_from_scripts(
    start: Start, config: Config, base: str
) -> None:
    service = await start(dataclasses.replace(config, base_url=base))
    await service.alice.put_video()
    share_hash = (await service.alice.share(max_views=1))["share_hash"]
    name, *rest = (await submit(service, share_hash)).headers["Set-Cookie"].split("; ")
    assert re.fullmatch(r"share_token=2025-01-15T10:15:00\.[0-9a-f]{64}", name)
    path = f"Path={'/v1' if 'v1' in base else ''}/r/{share_hash}"
    secure = ["Secure"] if base.startswith("https") else []
    assert rest == [path, "HttpOnly", "SameSite=Lax", *secure]  # it ends with the browser


@pytest.mark.parametrize("path", SILENT)
@pytest.mark.parametrize("kind", PROBLEM_TYPES)
async def test_routes_that_count_no_view_require_a_token(
    service: Service, kind: str, path: str
) -> None:
    report = await service.alice.share(**PROBLEM_TYPES[kind])
    answer = await service.public.get(path.format(report["share_hash"]))
    problem = "open-required" if kind == "limited" else "password-required"
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("ShareToken")
    assert not HER.search(answer.body + repr(answer.headers).encode())
    if path.startswith("/api/"):
        assert is_problem(answer, 401, problem)
    else:
        assert f'action="../{report["share_hash"]}"' in answer.body.decode()
    assert await counted(service, report) == 0
    password = None if kind == "limited" else PASSWORD
    token = await token_for(service, report["share_hash"], password)
    answer = await service.public.get(
        path.format(report["share_hash"]), headers={"X-Share-Token": token}
    )
    assert answer.status == 200
    assert await counted(service, report) == 1


async def test_head_counts_no_view(service: Service) -> None:
    report = await service.alice.share(max_views=1)
    assert (await service.public.call("HEAD", JSON.format(report["share_hash"]))).status == 401
    assert await counted(service, report) == 0


async def test_token_of_the_last_view_works_until_the_link_ends(
    service: Service,
) -> None:
    for death in ("revoke", "switch off", "expire", "rotate", "delete the video"):
        report = await service.alice.share(max_views=1, expires_at="2025-01-15T11:00:00")
        path = f"/api/shared-reports/{report['id']}"
        token = await token_for(service, report["share_hash"])
        assert await statuses(service, report["share_hash"]) == [410] * len(ROUTES)
        assert await statuses(service, report["share_hash"], token) == ALL_SHOWN
        code = 404
        if death == "revoke":
            await service.alice.delete(path)
        elif death == "switch off":
            await change(service, report, is_active=False)
        elif death == "rotate":
            rotated = (await service.alice.post(f"{path}/rotate")).json
            assert await statuses(service, rotated["share_hash"], token) == [410] * len(ROUTES)
        elif death == "expire":
            await change(service, report, expires_at="2025-01-15T10:00:01")
            await service.advance(1)
            code = 410
        else:
            await service.alice.delete("/api/videos/job-1")
        found = await statuses(service, report["share_hash"], token)
        assert found == [code] * len(ROUTES), death


async def test_token_opens_no_other_link(service: Service) -> None:
    one, other = [await service.alice.share(**PROBLEM_TYPES["both"]) for _ in range(2)]
    token = await token_for(service, one["share_hash"], PASSWORD)
    assert await statuses(service, other["share_hash"], token) == [401] * len(ROUTES)
    assert await counted(service, other) == 0


@pytest.mark.parametrize(
    "forge",
    [
        lambda _: "",
        lambda _: "x",
        lambda token: token[:-1],
        lambda token: token.upper(),
        lambda token: token.replace("2025", "2035"),
        lambda token: token.replace(":", "\N{ARABIC-INDIC DIGIT ZERO}"),
        lambda token: token[:20] + "0" * 64,
        lambda token: token.partition(".")[0],
        lambda token: f"{token} ",
        lambda token: f"{token}{token}",
    ],
)
async def test_token_that_is_forged_opens_nothing(service: Service, forge: Any) -> None:
    report = await service.alice.share(max_views=2)
    requirements = await service.app[ACCESS].requirements(report["share_hash"])
    token = (await service.app[ACCESS].unlock(requirements)).token
    await service.app[ACCESS].check(report["share_hash"], token)
    with pytest.raises(Exception, match="open it first"):
        await service.app[ACCESS].check(report["share_hash"], forge(token))


async def test_token_works_after_a_restart(start: Start) -> None:
    service = await start()
    await service.alice.put_video()
    report = await service.alice.share(max_views=1)
    token = await token_for(service, report["share_hash"])
    await service.client.close()
    assert await statuses(await start(), report["share_hash"], token) == ALL_SHOWN


async def test_token_from_before_a_limit_or_password_is_rejected(service: Service) -> None:
    for before, after in (("open", "limited"), ("open", "locked"), ("locked", "both")):
        report = await service.alice.share(**PROBLEM_TYPES.get(before, {}))
        token = await token_for(service, report["share_hash"], PASSWORD)
        await change(service, report, **PROBLEM_TYPES[after])
        headers = {"X-Share-Token": token}
        for path in (JSON, SEGMENTS):
            answer = await service.public.get(path.format(report["share_hash"]), headers=headers)
            assert answer.status == 401
        assert not HER.search(
            (await service.public.get(PAGE.format(report["share_hash"]), headers=headers)).body
        )


async def test_unlock_of_an_open_link_counts_no_view(
    service: Service,
) -> None:
    report = await service.alice.share()
    assert (await unlock(service, report["share_hash"], "whatever")).status == 200
    answer = await submit(service, report["share_hash"])
    assert (answer.status, "Set-Cookie" in answer.headers) == (303, False)
    assert await counted(service, report) == 0


BECOMES: dict[str, dict[str, Any]] = {
    "scheduled": {"not_before": "2025-01-15T10:00:01"},
    "inactive": {"is_active": False},
}


@pytest.mark.parametrize("status", BECOMES)
@pytest.mark.parametrize("kind", PROBLEM_TYPES)
async def test_unlock_of_a_link_that_is_not_active_is_not_found(
    service: Service, kind: str, status: str
) -> None:
    report = await service.alice.share(**PROBLEM_TYPES[kind])
    await change(service, report, **BECOMES[status])
    share_hash = report["share_hash"]
    for hash_ in (share_hash, "A" * 16):
        assert await statuses(service, hash_) == [404] * len(ROUTES)
        assert is_problem(await unlock(service, hash_, PASSWORD), 404, "not-found")
        assert (await submit(service, hash_, password=PASSWORD)).status == 404
    assert await counted(service, report) == 0


async def test_view_of_a_link_revoked_during_the_unlock_is_not_shown(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = await service.alice.share(max_views=5)
    opening = AccessService.unlock

    async def open_and_die(self: AccessService, gate: Any) -> Any:
        opened = await opening(self, gate)
        await service.alice.delete(f"/api/shared-reports/{report['id']}")
        return opened

    monkeypatch.setattr(AccessService, "unlock", open_and_die)
    answer = await service.public.get(JSON.format(report["share_hash"]))
    assert is_problem(answer, 404, "not-found")


async def test_unlock_works_after_rejected_attempts(
    service: Service, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    report = await service.alice.share(max_views=1)
    with monkeypatch.context() as busy:
        busy.setattr(f"service.repositories.{engine}.engine.worker.QUEUE_TIMEOUT", -1.0)
        answers = await asyncio.gather(*(unlock(service, report["share_hash"]) for _ in range(3)))
    assert [answer.status for answer in answers] == [503] * 3
    assert await token_for(service, report["share_hash"])
    assert await counted(service, report) == 1
