"""Views are counted: each once, within seconds, and only what is one."""

import asyncio
import gc
import sqlite3
from pathlib import Path

import asyncpg
import pytest
from support.harness import Caller, Service, Start
from support.links import LIST, ROUTES, change
from support.process import get, new_key, request, serving
from support.workers import during, finish, held, wait_for_queue, writer_of

from service.domain.errors import UnavailableError
from service.domain.links import LinkSettings
from service.repositories.base import TakeViews
from service.web.app_keys import LINKS, REPOSITORIES, VIEWS

JSON, PAGE = ROUTES[0], ROUTES[2]


async def views(service: Service) -> list[tuple[int, str | None]]:
    """What is told of the views of each link, newest first, once they are written down."""
    await service.app[VIEWS].write()
    listed = (await service.alice.get(LIST)).json
    return [(each["view_count"], each["last_viewed_at"]) for each in listed]


@pytest.mark.parametrize("path", [JSON, PAGE])
async def test_view_is_counted_once_for_its_link(service: Service, path: str) -> None:
    await service.alice.put_video()
    other, report = await service.alice.share(), await service.alice.share()
    assert await views(service) == [(0, None), (0, None)]
    for _ in range(3):
        assert (await service.public.get(path.format(report["share_hash"]))).status == 200
    assert await views(service) == [(3, "2025-01-15T10:00:00"), (0, None)]
    await service.advance(60)
    assert (await service.public.get(path.format(report["share_hash"]))).status == 200
    assert (await service.public.get(path.format(other["share_hash"]))).status == 200
    latest = "2025-01-15T10:01:00"
    assert await views(service) == [(4, latest), (1, latest)]


async def test_view_count_ignores_other_requests(service: Service) -> None:
    await service.alice.put_video()
    report = await service.alice.share()
    off = await service.alice.share()
    await service.alice.patch(f"/api/shared-reports/{off['id']}", {"is_active": False})
    for path in ROUTES:
        await service.public.call("HEAD", path.format(report["share_hash"]))
        if path not in {JSON, PAGE}:
            answer = await service.public.get(path.format(report["share_hash"]))
            assert answer.status == 200
        assert (await service.public.get(path.format(off["share_hash"]))).status == 404
    browser = {"Accept": "text/html"}
    answer = await service.public.get(JSON.format(report["share_hash"]), headers=browser)
    assert answer.status == 302
    assert await views(service) == [(0, None), (0, None)]


async def test_view_counts_for_a_link_rotated_since(service: Service) -> None:
    await service.alice.put_video()
    report = await service.alice.share()
    await service.public.get(JSON.format(report["share_hash"]))
    await service.alice.post(f"/api/shared-reports/{report['id']}/rotate")
    assert [count for count, _ in await views(service)] == [1]


async def test_views_of_more_links_than_a_batch_are_all_written(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.sharing.views._BATCH_SIZE", 3)
    await service.alice.put_video()
    reports = [await service.alice.share() for _ in range(8)]
    for report in reports:
        await service.public.get(JSON.format(report["share_hash"]))
    assert [count for count, _ in await views(service)] == [1] * 8


async def test_views_that_could_not_be_written_are_written_later(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.sharing.views._BATCH_SIZE", 1)
    await service.alice.put_video()
    paths = [JSON.format((await service.alice.share())["share_hash"]) for _ in range(3)]
    for path in paths:
        await service.public.get(path)
    links = service.app[REPOSITORIES].links
    add_views, written = links.add_views, 0

    async def fail_after_one(take_views: TakeViews) -> None:
        nonlocal written
        written += 1
        if written > 1:
            await service.public.get(paths[2])  # and another comes in meanwhile
            raise UnavailableError("Not now.")
        await add_views(take_views)

    with monkeypatch.context() as broken:
        broken.setattr(links, "add_views", fail_after_one)
        with pytest.raises(UnavailableError):
            await service.app[VIEWS].write()
    assert [count for count, _ in await views(service)] == [2, 1, 1]


async def test_views_whose_writing_nobody_waits_for_are_counted_once(service: Service) -> None:
    """The service stops while the background task writes: the trip is made all the same."""
    await service.alice.put_video()
    await service.public.get(JSON.format((await service.alice.share())["share_hash"]))
    writing = asyncio.create_task(service.app[VIEWS].write())
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await finish(writer_of(service.app))
    assert [count for count, _ in await views(service)] == [1]


async def test_views_survive_a_stop_between_two_batches(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.sharing.views._BATCH_SIZE", 1)
    await service.alice.put_video()
    for _ in range(3):
        await service.public.get(JSON.format((await service.alice.share())["share_hash"]))
    writing = asyncio.create_task(service.app[VIEWS].write())
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert [count for count, _ in await views(service)] == [1, 1, 1]


async def test_view_limit_counts_views_that_are_being_written(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.sharing.views._BATCH_SIZE", 1)
    await service.alice.put_video()
    reports = [await service.alice.share() for _ in range(8)]
    for report in reports:
        await service.public.get(JSON.format(report["share_hash"]))
    writing = asyncio.create_task(service.app[VIEWS].write())
    await asyncio.sleep(0)
    owner, terms = reports[-1]["user_id"], LinkSettings(max_views=1)
    changed = await service.app[LINKS].change(owner, reports[-1]["id"], terms)
    await writing
    assert (changed.view_count, changed.status) == (1, "exhausted")


async def test_view_limit_counts_views_while_it_waits_for_the_writer(service: Service) -> None:
    await service.alice.put_video()
    report = await service.alice.share()
    path = JSON.format(report["share_hash"])
    async with held(writer_of(service.app)):
        changing = asyncio.create_task(change(service, report, max_views=4))
        await wait_for_queue(writer_of(service.app), 1)
        for _ in range(3):
            assert (await service.public.get(path)).status == 200
    changed = await changing
    assert (changed["view_count"], changed["last_viewed_at"]) == (3, "2025-01-15T10:00:00")
    assert [(await service.public.get(path)).status for _ in range(2)] == [200, 410]
    assert await views(service) == [(4, "2025-01-15T10:00:00")]


async def test_view_limit_counts_views_while_its_statement_runs(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in the row before any unlock is, which may be asked for before the answer comes."""
    await service.alice.put_video()
    report = await service.alice.share()
    path = JSON.format(report["share_hash"])

    async def view_twice() -> None:
        for _ in range(2):
            assert (await service.public.get(path)).status == 200

    await view_twice()
    during(service.app, monkeypatch, "change a link", view_twice)
    await change(service, report, max_views=5)
    assert [(await service.public.get(path)).status for _ in range(2)] == [200, 410]
    assert [count for count, _ in await views(service)] == [5]


@pytest.mark.parametrize("way", ["conflict", "another user's", "fault", "late"])
async def test_views_of_a_change_that_fails_are_counted_once(
    service: Service, monkeypatch: pytest.MonkeyPatch, engine: str, way: str
) -> None:
    await service.alice.put_video()
    report = await service.alice.share()
    for _ in range(3):
        await service.public.get(JSON.format(report["share_hash"]))

    async def fail() -> None:
        raise sqlite3.OperationalError("x") if engine == "sqlite" else asyncpg.DataError("x")

    caller = service.bob if way == "another user's" else service.alice
    wanted = {"max_views": 1} | ({"is_active": True} if way == "conflict" else {})
    with monkeypatch.context() as broken:
        if way == "fault":
            during(service.app, broken, "change a link", fail)
        elif way == "late":
            broken.setattr(f"service.repositories.{engine}.engine.worker.QUEUE_TIMEOUT", -1.0)
        answer = await caller.patch(f"/api/shared-reports/{report['id']}", wanted)
    codes = {"conflict": 409, "another user's": 404, "fault": 500, "late": 503}
    assert answer.status == codes[way]
    assert [count for count, _ in await views(service)] == [3]


async def test_views_of_a_change_whose_caller_has_gone_are_counted_once(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    await service.alice.put_video()
    report = await service.alice.share()
    for _ in range(3):
        await service.public.get(JSON.format(report["share_hash"]))
    for settings, count in ((LinkSettings(max_views=1, is_active=True), 3), (LinkSettings(), 3)):
        links = service.app[LINKS]
        async with held(writer_of(service.app)):
            changing = asyncio.create_task(links.change(report["user_id"], report["id"], settings))
            await wait_for_queue(writer_of(service.app), 1)
            changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)
        async with asyncio.timeout(5):  # a change that fails gives its views back at its end
            while [counted for counted, _ in await views(service)] != [count]:
                await asyncio.sleep(0.001)
    await finish(writer_of(service.app))
    assert [counted for counted, _ in await views(service)] == [count]
    gc.collect()
    assert "never retrieved" not in caplog.text  # of the change that failed


async def test_views_are_written_without_being_asked(start: Start, alice: Caller) -> None:
    del start
    await alice.put_video()
    await alice.get(JSON.format((await alice.share())["share_hash"]))
    async with asyncio.timeout(5):
        while (await alice.get(LIST)).json[0]["view_count"] != 1:
            await asyncio.sleep(0.05)


def test_views_survive_a_clean_stop(folder: Path) -> None:
    key = new_key(folder)
    with serving(folder) as server:
        request("PUT", f"{server.url}/api/videos/job-1", {"name": "x"}, Authorization=key)
        status, body = request(
            "POST", f"{server.url}/api/shared-reports", {"video_id": "job-1"}, Authorization=key
        )
        assert status == 201, body
        share_hash = body.decode().partition('"share_hash":"')[2][:16]
        for _ in range(7):
            assert get(f"{server.url}{JSON.format(share_hash)}")[0] == 200
        assert server.stop()[0] == 0
    with serving(folder) as server:
        listed = get(f"{server.url}{LIST}", Authorization=key)[1]
        assert b'"view_count":7' in listed


async def test_views_that_are_dropped_are_not_written(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another database the ids are those of other links."""
    await service.alice.put_video()
    report = await service.alice.share()
    counter = service.app[VIEWS]
    await service.public.get(JSON.format(report["share_hash"]))
    async with held(writer_of(service.app)):
        writing = asyncio.create_task(counter.write())
        await wait_for_queue(writer_of(service.app), 1)
        counter.drop()  # the statement has not taken them yet
    await writing
    await service.public.get(JSON.format(report["share_hash"]))

    async def drop_and_fail() -> None:
        counter.drop()
        raise UnavailableError("Another database is there.")

    with monkeypatch.context() as broken:
        during(service.app, broken, "record views", drop_and_fail)
        with pytest.raises(UnavailableError):
            await counter.write()
    assert await views(service) == [(0, None)]
