"""Links that ask to be opened: each view is counted before it is shown, crash or not."""

import asyncio
import dataclasses
import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from aiohttp import DummyCookieJar
from support.access import (
    JSON,
    PAGE,
    PASSWORD,
    SEGMENTS,
    counted,
    statuses,
    submit,
    token_for,
    unlock,
)
from support.database import break_updates, database_in, fetch
from support.harness import Caller, Service, Start, is_problem, segment
from support.links import LIST, ROUTES, change
from support.pages import text
from support.process import await_true, get, request, run, serving

from service.config import Config
from service.sharing.access import AccessService
from service.web.app_keys import ACCESS, CONFIG

SILENT = [path for path in ROUTES if path not in {JSON, PAGE}]
"""What never is a view."""


PROBLEM_TYPES: dict[str, dict[str, Any]] = {
    "limited": {"max_views": 5},
    "locked": {"password": PASSWORD},
    "both": {"max_views": 5, "password": PASSWORD},
}


HER = re.compile(b"Product Demo|canary", re.IGNORECASE)
"""What stands in a report, and must not stand in front of one."""


@pytest.fixture
async def service(start: Start, config: Config) -> Service:
    service = await start(
        dataclasses.replace(config, lookup_rate_limit=None, password_rate_limit=None)
    )
    await service.alice.put_video(segments=[segment(0, 1, "canary-module", content="canary")])
    return service


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
    service.clock.advance(15 * 60 - 1)
    assert await statuses(service, report["share_hash"], token) == ALL_SHOWN
    again = await service.public.get(path, headers={"X-Share-Token": token})
    assert again.body == first.body
    assert "X-Share-Token" not in again.headers
    assert await counted(service, report) == 1
    service.clock.advance(1)
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
    assert [each.status for each in downloads[1:]] == [200] * 4
    assert downloads[0].status == 401  # the cookie is the page's, and not the API's
    assert (await submit(service, report["share_hash"])).status == 303  # sent again: it is open
    assert await counted(service, report) == 1
    service.clock.advance(15 * 60)
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


@pytest.mark.parametrize("way", ["view", "unlock", "form"])
async def test_view_limit_is_exact_for_concurrent_viewers(service: Service, way: str) -> None:
    report = await service.alice.share(max_views=7)
    share_hash = report["share_hash"]

    async def look() -> int:
        if way == "view":
            return (await service.public.get(JSON.format(share_hash))).status
        if way == "unlock":
            return (await unlock(service, share_hash)).status
        # Without a cookie of anyone's.
        answer = await service.public.post(PAGE.format(share_hash), b"", headers={"Cookie": ""})
        return 200 if answer.status == 303 else answer.status

    service.client.session._cookie_jar = DummyCookieJar()  # each is somebody else
    found = await asyncio.gather(*(look() for _ in range(60)))
    assert sorted(found) == [200] * 7 + [410] * 53
    assert await counted(service, report) == 7
    [listed] = (await service.alice.get(LIST)).json
    assert (listed["status"], listed["is_active"]) == ("exhausted", 0)


async def test_view_limit_is_exact_for_many_links_at_once(service: Service) -> None:
    reports = [await service.alice.share(max_views=n % 3 + 1) for n in range(12)]
    paths = [JSON.format(each["share_hash"]) for each in reports] * 4
    answers = await asyncio.gather(*(service.public.get(path) for path in paths))
    for n, report in enumerate(reports):
        shown = [each.status for each in answers[n::12]]
        assert sorted(shown) == [200] * (n % 3 + 1) + [410] * (3 - n % 3)
        assert await counted(service, report) == n % 3 + 1


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
            service.clock.advance(1)
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


async def test_view_limit_raised_or_removed_reactivates_the_link(service: Service) -> None:
    report = await service.alice.share(max_views=1)
    path = JSON.format(report["share_hash"])
    assert [(await service.public.get(path)).status for _ in range(2)] == [200, 410]
    answer = await service.alice.patch(
        f"/api/shared-reports/{report['id']}", {"is_active": True, "label": "x"}
    )
    assert is_problem(answer, 409, "conflict")
    assert "`max_views`" in answer.json["detail"]
    changed = await change(service, report, max_views=3, is_active=True)
    assert (changed["status"], changed["view_count"], changed["label"]) == ("active", 1, None)
    assert [(await service.public.get(path)).status for _ in range(3)] == [200, 200, 410]
    assert (await change(service, report, max_views=2))["status"] == "exhausted"
    changed = await change(service, report, max_views=None)
    assert (changed["status"], changed["max_views"], changed["view_count"]) == ("active", None, 3)
    answer = await service.public.get(path)
    assert (answer.status, "X-Share-Token" in answer.headers) == (200, False)


async def test_views_from_before_there_was_a_limit_count(service: Service) -> None:
    report = await service.alice.share()
    path = JSON.format(report["share_hash"])
    for _ in range(3):
        await service.public.get(path)
    changed = await change(service, report, max_views=4)
    assert changed["view_count"] == 3
    assert [(await service.public.get(path)).status for _ in range(2)] == [200, 410]


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


async def test_view_that_cannot_be_counted_is_not_shown(service: Service) -> None:
    report = await service.alice.share(max_views=5)
    break_updates(service.app[CONFIG].database, "shared_reports")
    for answer in (
        await service.public.get(JSON.format(report["share_hash"])),
        await unlock(service, report["share_hash"]),
    ):
        assert is_problem(answer, 500, "internal-server-error")
    assert (await submit(service, report["share_hash"])).status == 500


@pytest.mark.parametrize("value", [0, -1, 1.5, "1", True, 10**9 + 1])
async def test_view_limit_that_is_invalid_is_rejected(alice: Caller, value: object) -> None:
    await alice.put_video()
    answer = await alice.post("/api/shared-reports", {"video_id": "job-1", "max_views": value})
    assert is_problem(answer, 422, "invalid-request")
    assert "max_views" in answer.json["detail"]


def views_on_disk(folder: Path) -> int:
    [(count,)] = fetch(database_in(folder), "SELECT view_count FROM shared_reports")
    return int(count)


class Viewers:
    """Threads that view a link until it is dead or the server is."""

    def __init__(self, url: str, count: int) -> None:
        self._url = url
        self.shown = 0
        self.refused = 0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._look) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _look(self) -> None:
        while True:
            try:
                status, _ = get(self._url)
            except OSError:  # the server has been killed
                return
            with self._lock:
                self.shown += status == 200
                self.refused += status == 410
            assert status in {200, 410}
            if status == 410:
                return

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


def test_view_count_is_exact_after_crashes(folder: Path) -> None:
    key = run("keys", "create", "--user", f"{1:032}", "--name", "x", folder=folder).stdout.strip()
    limit, share_hash, shown = 300, "", 0
    for crashes in range(4):
        with serving(folder) as server:
            if not share_hash:
                request("PUT", f"{server.url}/api/videos/v", {"name": "x"}, Authorization=key)
                body = {"video_id": "v", "max_views": limit}
                answer = request(
                    "POST", f"{server.url}/api/shared-reports", body, Authorization=key
                )
                share_hash = json.loads(answer[1])["share_hash"]
            viewers = Viewers(f"{server.url}{JSON.format(share_hash)}", 8)
            if crashes < 3:
                await_true(lambda: viewers.shown >= 40, "more views")  # noqa: B023 - awaited here
                server.process.kill()
                server.process.wait()
            viewers.join()
            shown += viewers.shown
            on_disk = views_on_disk(folder)
            # A view that was counted may not have been seen, by each who was about to, but never
            # the other way round.
            assert shown <= on_disk <= shown + 8 * (crashes + 1)
    assert viewers.refused == 8
    assert on_disk == limit
    assert shown <= limit


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
