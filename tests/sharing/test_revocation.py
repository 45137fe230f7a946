"""Bulk revocation: links are dead at once, and their rows are deleted in batches afterwards."""

import asyncio
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from support.harness import Caller, Service
from support.links import LIST, ROUTES, fill, rows_left
from support.metrics import scrape
from support.process import run
from support.statements import Finished, Statements

from service.domain.links import NO_SETTINGS
from service.web.app_keys import CONFIG, LINKS, NOW, REPOSITORIES, SWEEPER

ALL = "/api/shared-reports"
VIDEO = "/api/videos/job-1"
ENDINGS = [LIST, VIDEO]
each_ending = pytest.mark.parametrize("ending", ENDINGS)


@pytest.fixture
def rows_stay(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the background task from deleting rows."""

    async def delete_revoked(_limit: int) -> int:
        return 0

    monkeypatch.setattr(service.app[REPOSITORIES].links, "delete_revoked", delete_revoked)


async def create_links(alice: Caller) -> list[Any]:
    """A video with a link of each kind."""
    await alice.put_video()
    kinds: list[dict[str, Any]] = [
        {},
        {"expires_at": "2025-01-15T11:00:00"},
        {"not_before": "2025-01-15T11:00:00"},
        {"max_views": 5},
        {"password": "correct horse"},
        {"modules": ["scenes"], "label": "x"},
    ]
    return [await alice.share(**fields) for fields in kinds]


@pytest.mark.usefixtures("rows_stay")
@each_ending
async def test_revocation_hides_links_whose_rows_remain(service: Service, ending: str) -> None:
    alice, public = service.alice, service.public
    reports = await create_links(alice)
    limited, locked = reports[3]["share_hash"], reports[4]["share_hash"]
    tokens = {limited: (await public.get(f"{ALL}/{limited}")).headers["X-Share-Token"]}
    unlocked = await public.post(f"{ALL}/{locked}/unlock", {"password": "correct horse"})
    tokens[locked] = unlocked.json["token"]
    for report in reports[:2]:
        assert (await public.get(f"{ALL}/{report['share_hash']}")).status == 200

    assert (await alice.delete(ending)).status == 200
    assert rows_left(service.app[CONFIG].database) == len(reports)
    for report in reports:
        share_hash = report["share_hash"]
        headers = {"X-Share-Token": tokens.get(share_hash, "none")}
        for route in ROUTES:
            answer = await public.get(route.format(share_hash), headers=headers)
            assert answer.status == 404, route
        password = {"password": "correct horse"}
        assert (await public.post(f"{ALL}/{share_hash}/unlock", password)).status == 404
        path = f"{ALL}/{report['id']}"
        assert (await alice.patch(path, {"label": "y"})).status == 404
        assert (await alice.post(f"{path}/rotate")).status == 404
        assert (await alice.delete(path)).status == 404
    for query in ("", "?limit=2", "?status=active", "?label=x", "?video_id=job-1"):
        answer = await alice.get(f"{ALL}{query}")
        assert (answer.json, "Link" in answer.headers) == ([], False)
    metrics = await scrape(public)
    assert sum(metrics[name] for name in metrics if name.startswith("shared_reports_links{")) == 0


@pytest.mark.usefixtures("rows_stay")
@each_ending
async def test_revocation_hides_links_from_every_look_up(service: Service, ending: str) -> None:
    """Each statement by itself: behind HTTP one look-up hides what another would show."""
    repositories, now = service.app[REPOSITORIES], service.app[NOW]()
    access = repositories.access
    reports = await create_links(service.alice)
    links = [await access.find(report["share_hash"], now) for report in reports]
    await service.alice.delete(ending)
    for report, link in zip(reports, links, strict=True):
        share_hash = report["share_hash"]
        assert link is not None
        assert await access.find(share_hash, now) is None
        assert await access.find_with_report(share_hash, now) is None
        assert await access.unlock(link.requirements) is None
        assert await repositories.links.find_view(share_hash, now) is None
        assert await repositories.links.find_report(share_hash) is None
    await service.advance(1e6)
    assert await repositories.retention.purge(1, 100) == 0  # they belong to the revocation


@pytest.mark.usefixtures("rows_stay")
@each_ending
async def test_revocation_spares_links_that_are_created_later(
    service: Service, ending: str
) -> None:
    alice = service.alice
    await create_links(alice)
    await alice.put_video("job-2")
    other = await alice.share("job-2")
    await alice.delete(ending)
    new_video = await alice.put("/api/videos/job-1", {"name": "New", "status": "completed"})
    assert new_video.status == (201 if ending == VIDEO else 200)
    assert (await alice.get(LIST)).json == []
    later = [await alice.share() for _ in range(3)]
    for report in (other, *later):
        answer = await service.public.get(f"{ALL}/{report['share_hash']}")
        assert answer.status == 200
    assert (await alice.get(LIST)).json == later[::-1]
    assert (await alice.get(f"{ALL}?limit=3")).json == later[::-1]
    assert [each["job_id"] for each in (await alice.get("/api/videos")).json] == (
        ["job-1", "job-2"] if ending == VIDEO else ["job-2", "job-1"]
    )


@pytest.mark.parametrize("step", [1, 2, 3, 20_000])
@pytest.mark.usefixtures("rows_stay")
async def test_revocation_counts_exactly_the_links_that_it_ends(
    service: Service, monkeypatch: pytest.MonkeyPatch, engine: str, step: int
) -> None:
    if engine == "sqlite":  # PostgreSQL counts them in the snapshot of the revocation
        monkeypatch.setattr("service.repositories.sqlite.revocations._COUNT_STEP", step)
    alice = service.alice
    reports = await create_links(alice)
    assert (await alice.delete(f"{ALL}/{reports[2]['id']}")).status == 200
    assert (await alice.delete(LIST)).json == {"ok": True, "deleted": 5}
    assert (await alice.delete(LIST)).json == {"ok": True, "deleted": 0}
    for _ in range(2):
        await alice.share()
    assert (await alice.delete(LIST)).json == {"ok": True, "deleted": 2}
    assert (await alice.delete(VIDEO)).status == 200
    assert (await alice.delete(LIST)).status == 404


@pytest.mark.usefixtures("rows_stay")
async def test_revocation_leaves_replays_as_they_are(alice: Caller) -> None:
    await alice.put_video()
    body, key = {"video_id": "job-1"}, {"Idempotency-Key": "once"}
    first = await alice.post(ALL, body, headers=key)
    await alice.delete(LIST)
    again = await alice.post(ALL, body, headers=key)
    assert (again.body, again.headers["Idempotency-Replayed"]) == (first.body, "true")
    assert (await alice.get(ALL)).json == []


@pytest.mark.usefixtures("rows_stay")
async def test_revocation_with_the_video_forgets_its_idempotency_keys(service: Service) -> None:
    alice, database = service.alice, service.app[CONFIG].database
    await alice.put_video()
    body, key = {"video_id": "job-1"}, {"Idempotency-Key": "once"}
    first = await alice.post(ALL, body, headers=key)
    await alice.delete(VIDEO)
    assert rows_left(database, "idempotency_keys") == 1
    assert (await alice.post(ALL, body, headers=key)).status == 404
    await alice.put_video()
    second = await alice.post(ALL, body, headers=key)
    assert (second.status, "Idempotency-Replayed" in second.headers) == (201, False)
    assert second.json["share_hash"] != first.json["share_hash"]
    again = await alice.post(ALL, body, headers=key)
    assert (again.body, again.headers["Idempotency-Replayed"]) == (second.body, "true")


@pytest.mark.usefixtures("rows_stay")
async def test_revocation_hides_links_from_the_command_line(service: Service, folder: Path) -> None:
    reports = await create_links(service.alice)
    await service.alice.delete(LIST)
    user = ("--user", service.alice.user_id)
    listed = await asyncio.to_thread(run, "links", "list", *user, "--json", folder=folder)
    assert listed.stdout == "[]\n"
    for verb in ("show", "revoke", "rotate"):
        arguments = ("links", verb, reports[0]["id"], *user)
        result = await asyncio.to_thread(run, *arguments, folder=folder)
        assert "No such shared report." in result.stderr


@each_ending
async def test_revocation_of_few_links_deletes_their_rows_before_it_answers(
    service: Service, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    wakes: list[None] = []
    monkeypatch.setattr(service.app[SWEEPER].task, "wake", lambda: wakes.append(None))
    database = service.app[CONFIG].database
    await create_links(service.alice)
    await service.alice.put_video("job-2")
    await service.alice.share("job-2")
    wakes.clear()
    await service.alice.delete(ending)
    assert (wakes, rows_left(database)) == ([], 1)
    assert rows_left(database, "revocations") == 0
    assert rows_left(database, "videos") == (1 if ending == VIDEO else 2)


async def test_revocation_of_empty_videos_leaves_nothing_behind(service: Service) -> None:
    database = service.app[CONFIG].database
    for number in range(5):
        await service.alice.put_video(f"job-{number}")
        assert (await service.alice.delete(f"/api/videos/job-{number}")).status == 200
    assert (rows_left(database, "videos"), rows_left(database, "revocations")) == (0, 0)


@each_ending
async def test_revocation_deletes_bounded_batches_between_other_writes(
    service: Service, monkeypatch: pytest.MonkeyPatch, engine: str, ending: str
) -> None:
    """Each write that waits while a batch runs is done before the next batch begins."""
    if engine == "sqlite":
        monkeypatch.setattr("service.repositories.sqlite.revocations._COUNT_STEP", 1000)
    alice, links = service.alice, service.app[LINKS]
    await alice.put_video()
    await alice.put_video("job-2")
    fill(service.app[CONFIG].database, 4321)
    statements = Statements(monkeypatch)
    creates: list[asyncio.Task[None]] = []

    async def create() -> None:
        await links.create(alice.user_id, "job-2", NO_SETTINGS)
        statements.finished.append(Finished("create", {}, 1))

    def create_meanwhile(name: str) -> None:
        if name == "delete revoked links":
            creates.append(asyncio.create_task(create()))

    statements.on_start = create_meanwhile
    monkeypatch.setattr(service.app[SWEEPER].task, "wake", lambda: None)  # one pass, by hand
    answer = await alice.delete(ending)
    assert answer.json == ({"ok": True, "deleted": 4321} if ending == LIST else {"ok": True})
    await service.sweep()
    await asyncio.gather(*creates)

    batches = statements.results("delete revoked links")
    assert sum(batches) == 4321
    assert max(batches) <= 3200
    assert batches[0] == 100
    if engine == "postgresql":  # another connection makes the creates, at the same time
        return
    names = [finished.name for finished in statements.finished]
    creates_before = [
        names[:index].count("create")
        for index, name in enumerate(names)
        if name == "delete revoked links"
    ]
    assert all(count >= number for number, count in enumerate(creates_before)), creates_before
    counts = [rows[0][0] for rows in statements.results("count revoked links")]
    assert counts == ([1000] * 4 + [321] if ending == LIST else [])


@pytest.mark.usefixtures("rows_stay")
async def test_lists_skip_revoked_rows_in_bounded_steps(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list does not read all revoked rows in one statement before it finds the next link."""
    monkeypatch.setattr("service.repositories.list_pages._SCAN_ROWS", 100)
    alice = service.alice
    await alice.put_video("job-2")
    older = await alice.share("job-2")
    await alice.put_video()
    fill(service.app[CONFIG].database, 1000)
    newer = await alice.share("job-2")
    monkeypatch.setattr(service.app[SWEEPER], "delete_revoked", AsyncMock())  # the rows stay
    await alice.delete(LIST)
    statements = Statements(monkeypatch)
    assert (await alice.get(f"{ALL}?limit=10")).json == [newer, older]
    looked = statements.results("list a user's links")
    assert 11 <= len(looked) <= 13
