"""Statistics: each view, bot view and download in its hour, the same number as in the link."""

import asyncio
from typing import Any

import pytest
from support.database import fetch
from support.harness import CHROME, Caller, Response, Service, Start, is_problem
from support.workers import during

from service.config import Config
from service.domain.errors import UnavailableError
from service.web.app_keys import SWEEPER, VIEWS

BOT = {"User-Agent": "Twitterbot/1.0"}
PROGRAM = {"User-Agent": "python-requests/2.32.3"}
HOUR = 3600


def api(report: Any) -> str:
    return f"/api/shared-reports/{report['share_hash']}"


def page(report: Any, rest: str = "") -> str:
    return f"/r/{report['share_hash']}{rest}"


async def of(service: Service, path: str, **query: str) -> Any:
    """The statistics at a path, once all that was counted is written."""
    await service.app[VIEWS].write()
    answer = await service.alice.get(f"{path}/views", params=query)
    assert answer.status == 200, answer.body
    return answer.json


async def of_link(service: Service, report: Any, **query: str) -> Any:
    return await of(service, f"/api/shared-reports/{report['id']}", **query)


async def look_at_all(service: Service) -> None:
    """Have the background task look at all statistics; its first look may start anywhere."""
    for _ in range(2):
        await service.advance(60)
        await service.sweep()


def counted(statistics: Any) -> dict[str, dict[str, int]]:
    """The buckets in which there is something, by their start, without the zeros."""
    buckets = {
        bucket.pop("start"): {name: count for name, count in bucket.items() if count}
        for bucket in [dict(bucket) for bucket in statistics["buckets"]]
    }
    return {start: counts for start, counts in buckets.items() if counts}


async def test_statistics_count_each_kind_in_its_hour(service: Service) -> None:
    public, clock = service.public, service.clock
    await service.alice.put_video(segments=[{"module": "m", "start_time": 0, "end_time": 1}])
    report = await service.alice.share()
    for _ in range(3):
        await public.get(api(report))
    await public.get(page(report))
    await public.get(page(report, "?part=1"))
    await public.get(page(report), headers=BOT)
    for file in ("/analysis.json", "/analysis.csv", "/analysis.csv?excel=1", "/transcript.vtt"):
        assert (await public.get(page(report, file))).status == 200
    await public.get(page(report, "/analysis.csv"), headers=PROGRAM)
    await public.get(page(report, "/analysis.csv"), headers=BOT)
    await public.call("HEAD", page(report, "/analysis.csv"))
    await public.get(f"{api(report)}/segments")
    await public.get(page(report, "/qr.svg"))
    clock.advance(2 * HOUR)
    await public.get(page(report))
    statistics = await of_link(service, report, interval="hour")
    assert counted(statistics) == {
        "2025-01-15T10:00:00": {"views": 4, "bots": 1, "pages": 1, "api": 3, "downloads": 5},
        "2025-01-15T12:00:00": {"views": 1, "pages": 1},
    }
    totals = {name: value for name, value in statistics.items() if name != "buckets"}
    assert totals == {
        "total": 5,
        "bots": 1,
        "first_viewed_at": "2025-01-15T10:00:00",
        "last_viewed_at": "2025-01-15T12:00:00",
        "failed_passwords": 0,
    }
    assert await of(service, "/api/videos/job-1", interval="hour") == statistics
    by_day = counted(await of_link(service, report))
    assert by_day == {
        "2025-01-15T00:00:00": {"views": 5, "bots": 1, "pages": 2, "api": 3, "downloads": 5}
    }


async def test_statistics_of_a_protected_link_have_its_unlocks(service: Service) -> None:
    public = service.public
    await service.alice.put_video()
    report = await service.alice.share(password="secret", max_views=5)
    for password in ("wrong", "secret", "wrong"):
        await public.post(f"{api(report)}/unlock", {"password": password})
    assert (await public.post(page(report), data={"password": "wrong"})).status == 401
    assert (await public.get(page(report, "/analysis.csv"))).status == 401
    opened = await public.post(page(report), data={"password": "secret"})
    assert opened.status == 303
    cookie = {"Cookie": opened.headers["Set-Cookie"].partition(";")[0]}
    await public.get(page(report), headers=cookie)
    await public.get(page(report, "/analysis.csv"), headers=cookie)
    statistics = await of_link(service, report)
    day = {"views": 2, "pages": 1, "api": 1, "downloads": 1}
    assert counted(statistics) == {"2025-01-15T00:00:00": day}
    assert (statistics["total"], statistics["failed_passwords"]) == (2, 3)
    assert (await of(service, "/api/videos/job-1"))["failed_passwords"] == 3


async def test_statistics_of_concurrent_unlocks_are_as_many_as_granted(service: Service) -> None:
    await service.alice.put_video()
    report = await service.alice.share(max_views=7)
    requests = [
        service.public.post(page(report), data={})
        if number % 2
        else service.public.get(api(report))
        for number in range(24)
    ]
    answers = await asyncio.gather(*requests)
    pages, by_api = answers[1::2], answers[::2]
    granted = [sum(each.status in {200, 303} for each in some) for some in (pages, by_api)]
    assert sum(granted) == 7
    day = {"views": 7, "pages": granted[0], "api": granted[1]}
    assert counted(await of_link(service, report)) == {
        "2025-01-15T00:00:00": {name: count for name, count in day.items() if count}
    }


async def test_view_is_counted_in_its_hour_though_written_later(service: Service) -> None:
    await service.alice.put_video()
    report = await service.alice.share()
    await service.advance(HOUR - 1)
    await service.public.get(api(report))
    await service.advance(1)
    await service.public.get(api(report))
    await service.public.get(api(report), headers=BOT)
    assert counted(await of_link(service, report, interval="hour")) == {
        "2025-01-15T10:00:00": {"views": 1, "api": 1},
        "2025-01-15T11:00:00": {"views": 1, "api": 1, "bots": 1},
    }
    await service.app[VIEWS].write()
    assert len(service.app[VIEWS]._counts) == 1, "an hour that is over is forgotten"


async def test_views_of_a_change_at_the_turn_of_the_hour_are_counted(service: Service) -> None:
    """They are in the answer, and no unlock is granted before: in the later hour."""
    await service.alice.put_video()
    report = await service.alice.share()
    await service.public.get(api(report))
    await service.advance(HOUR)
    await service.public.get(api(report))
    changed = await service.alice.patch(f"/api/shared-reports/{report['id']}", {"max_views": 3})
    assert changed.json["view_count"] == 2
    assert counted(await of_link(service, report, interval="hour")) == {
        "2025-01-15T11:00:00": {"views": 2, "api": 2}
    }


async def counts_agree(service: Service, reports: list[Any], shown: int) -> None:
    """Each link's statistics have what its row counts, and the video's have the sums."""
    total, bots = 0, 0
    for report in reports:
        link = next(
            link
            for link in (await service.alice.get("/api/shared-reports")).json
            if link["id"] == report["id"]
        )
        statistics = await of_link(service, report, interval="hour")
        buckets = statistics["buckets"]
        assert sum(bucket["views"] for bucket in buckets) == link["view_count"]
        assert sum(bucket["bots"] for bucket in buckets) == link["bot_view_count"]
        assert all(bucket["views"] == bucket["pages"] + bucket["api"] for bucket in buckets)
        assert statistics["total"] == link["view_count"]
        assert statistics["bots"] == link["bot_view_count"]
        total, bots = total + link["view_count"], bots + link["bot_view_count"]
    whole = await of(service, "/api/videos/job-1", interval="hour")
    assert (whole["total"], whole["bots"]) == (total, bots)
    assert sum(bucket["views"] for bucket in whole["buckets"]) == total > 100
    assert sum(bucket["bots"] for bucket in whole["buckets"]) == bots
    assert len(counted(whole)) > 1
    assert total + bots + sum(bucket["downloads"] for bucket in whole["buckets"]) <= shown


async def test_statistics_are_right_to_the_count_under_load(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many clients at once, changes and failing statements meanwhile, over the turn of an hour."""
    monkeypatch.setattr("service.sharing.views._BATCH_SIZE", 2)
    alice, public, counter = service.alice, service.public, service.app[VIEWS]
    await alice.put_video(segments=[{"module": "m", "start_time": 0, "end_time": 1}])
    reports = [await alice.share() for _ in range(5)]
    limited = [await alice.share(max_views=8) for _ in range(2)]
    shown: list[Response] = []

    async def visit(number: int) -> None:
        report = (*reports, *limited)[number % 7]
        kinds = (api(report), page(report), page(report, "/analysis.json"))
        answer = await public.get(
            kinds[number % 3], headers=BOT if number % 5 == 0 else {"User-Agent": CHROME}
        )
        shown.append(answer)
        if number % 40 == 0:
            await service.advance(900)
        if number % 13 == 0:
            await counter.write()
        if number % 29 == 0:
            await alice.patch(f"/api/shared-reports/{report['id']}", {"label": str(number)})

    await asyncio.gather(*map(visit, range(320)))

    async def fail() -> None:
        await visit(1)
        raise UnavailableError("Not now.")

    await visit(2)
    with monkeypatch.context() as broken:
        during(service.app, broken, "record views", fail)
        with pytest.raises(UnavailableError):
            await counter.write()
    await counter.write()
    await counts_agree(service, [*reports, *limited], len(shown))


async def test_statistics_survive_a_stop(start: Start, config: Config) -> None:
    service = await start()
    await service.alice.put_video()
    report = await service.alice.share(password="x")
    other = await service.alice.share()
    for _ in range(3):
        await service.public.get(api(other))
    await service.public.post(f"{api(report)}/unlock", {"password": "wrong"})
    await service.client.close()
    again = await start(config)
    owner = Caller(again.client, service.alice.key)
    statistics = (await owner.get("/api/videos/job-1/views")).json
    assert (statistics["total"], statistics["failed_passwords"]) == (3, 1)
    assert counted(statistics) == {"2025-01-15T00:00:00": {"views": 3, "api": 3}}


async def test_statistics_of_a_deleted_link_stay_with_its_video(
    service: Service, config: Config
) -> None:
    await service.alice.put_video()
    report, other = await service.alice.share(), await service.alice.share()
    for _ in range(2):
        await service.public.get(api(report))
    await service.public.get(api(other))
    whole = await of(service, "/api/videos/job-1")
    await service.alice.delete(f"/api/shared-reports/{report['id']}")
    path = f"/api/shared-reports/{report['id']}/views"
    assert is_problem(await service.alice.get(path), 404, "not-found")
    assert await of(service, "/api/videos/job-1") == whole
    await look_at_all(service)
    left = "SELECT report_id FROM view_statistics ORDER BY report_id"
    assert fetch(config.database, left) == [(0,), (int(other["id"]),)]
    assert await of(service, "/api/videos/job-1") == whole
    await service.alice.delete("/api/videos/job-1")
    assert is_problem(await service.alice.get("/api/videos/job-1/views"), 404, "not-found")
    await look_at_all(service)
    assert fetch(config.database, left) == []
    assert fetch(config.database, "SELECT * FROM video_views") == []


async def test_statistics_are_kept_for_their_days(service: Service, config: Config) -> None:
    await service.alice.put_video()
    report = await service.alice.share()
    await service.public.get(api(report))
    await service.app[VIEWS].write()
    await service.advance(399 * 24 * HOUR)
    await service.public.get(api(report))
    await service.app[VIEWS].write()
    await service.advance(24 * HOUR)
    await service.sweep()
    query = {"from": "2025-01-01"}
    assert len(counted(await of_link(service, report, **query))) == 2
    await service.advance(HOUR)
    assert len(counted(await of_link(service, report, interval="day"))) == 1
    await look_at_all(service)
    assert len(fetch(config.database, "SELECT * FROM view_statistics")) == 2
    assert (await of_link(service, report, **query))["total"] == 2


async def test_purge_looks_at_few_rows_of_statistics_at_once(
    service: Service, config: Config
) -> None:
    """And gets to the end of the table, whatever it deletes on the way."""
    await service.alice.put_video()
    reports = [await service.alice.share() for _ in range(6)]
    for _ in range(4):
        for report in reports:
            await service.public.get(api(report))
        await service.app[VIEWS].write()
        await service.advance(HOUR)
    for report in reports[:3]:
        await service.alice.delete(f"/api/shared-reports/{report['id']}")
    statistics = service.app[SWEEPER]._statistics
    while await statistics.purge(0, 5):
        pass
    counts = []
    count = "SELECT count(*) FROM view_statistics"
    while await statistics.purge(0, 5):
        counts.append(fetch(config.database, count)[0][0])
    assert len(counts) == 3
    assert fetch(config.database, count) == [(16,)]
    rows = fetch(config.database, "SELECT DISTINCT report_id FROM view_statistics ORDER BY 1")
    assert rows == [(0,), *((int(report["id"]),) for report in reports[3:])]


@pytest.mark.engine("postgresql")
async def test_statistics_of_two_instances_are_added(start: Start, config: Config) -> None:
    """They write the same rows at the same time, in whatever order: none is lost, none waits."""
    service, other = await start(), await start(config)
    await service.alice.put_video()
    reports = [await service.alice.share() for _ in range(6)]
    reports += [await service.alice.share(max_views=90) for _ in range(3)]
    for _ in range(3):
        for one, links in ((service, reports), (other, reports[::-1])):
            await asyncio.gather(*(one.public.get(api(report)) for report in links * 2))
        unlocks = [one.public.get(api(reports[-1])) for one in (service, other) for _ in range(4)]
        writes = [one.app[VIEWS].write() for one in (service, other)]
        await asyncio.gather(*unlocks, *writes)
    assert [(await of_link(service, report))["total"] for report in reports] == [12] * 8 + [36]
    whole = await of(service, "/api/videos/job-1", interval="hour")
    assert whole["total"] == 8 * 12 + 36
    assert counted(whole) == {"2025-01-15T10:00:00": {"views": 132, "api": 132}}
