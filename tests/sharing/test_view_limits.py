"""View limits: exact for any number of viewers, crash or not."""

import asyncio
import json
import threading
from pathlib import Path

import pytest
from aiohttp import DummyCookieJar
from support.access import (
    JSON,
    PAGE,
    counted,
    service_without_limits,
    submit,
    unlock,
)
from support.database import break_updates, database_in, fetch
from support.harness import Caller, Service, is_problem
from support.links import LIST, change
from support.process import await_true, get, new_key, request, serving

from service.web.app_keys import CONFIG

service = pytest.fixture(service_without_limits)


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
    key = new_key(folder)
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
