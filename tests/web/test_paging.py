"""Lists in pages: the same things as the whole list, whatever comes and goes meanwhile."""

import asyncio
import re
from typing import Any

import msgspec
import pytest
from support.harness import Caller, Start, is_problem
from support.lists import pages
from support.statements import Statements

from service.config import Config
from service.repositories import link_mapping


async def names(caller: Caller, path: str) -> list[list[str]]:
    return [[each["job_id"] for each in page] async for page in pages(caller, path)]


async def put(caller: Caller, *job_ids: str, **fields: Any) -> None:
    for job_id in job_ids:
        await caller.put_video(job_id, **fields)


async def test_video_list_comes_whole_or_in_pages(
    alice: Caller,
) -> None:
    await put(alice, *"abcde")
    assert await names(alice, "/api/videos") == [list("edcba")]
    assert await names(alice, "/api/videos?limit=2") == [list("ed"), list("cb"), ["a"]]
    assert await names(alice, "/api/videos?limit=5") == [list("edcba")]
    assert await names(alice, "/api/videos?limit=200") == [list("edcba")]


async def test_video_page_holds_50_by_default(alice: Caller) -> None:
    await put(alice, *map(str, range(103)))
    first, second = [page async for page in pages(alice, "/api/videos?limit=52")]
    assert (len(first), len(second)) == (52, 51)
    cursor = re.search(r"cursor=([\w-]+)", (await alice.get("/api/videos?limit=1")).headers["Link"])
    assert cursor is not None
    assert [len(page) for page in await names(alice, f"/api/videos?cursor={cursor[1]}")] == [
        50,
        50,
        2,
    ]


async def test_video_list_without_videos_is_one_empty_page(alice: Caller) -> None:
    assert await names(alice, "/api/videos?limit=2") == [[]]


async def test_pages_keep_their_filters(alice: Caller) -> None:
    await put(alice, "a", "b", "c", project_id='<p> & "q"; ü', status="queued")
    await put(alice, "d", project_id='<p> & "q"; ü')
    await put(alice, "e", status="queued")
    query = "status=queued&project_id=%3Cp%3E%20%26%20%22q%22%3B%20%C3%BC"
    assert await names(alice, f"/api/videos?{query}&limit=1") == [["c"], ["b"], ["a"]]


async def test_video_pages_stay_consistent_while_videos_come_and_go(alice: Caller) -> None:
    await put(alice, *"abcdefgh")
    seen: list[list[str]] = []
    async for page in pages(alice, "/api/videos?limit=2"):
        seen.append([each["job_id"] for each in page])
        if len(seen) == 1:
            await put(alice, "new", "newer")
            await alice.delete("/api/videos/g")  # what the cursor names
            await alice.delete("/api/videos/h")  # shown already
            await alice.delete("/api/videos/e")  # not shown yet
            await put(alice, "c")  # replaced where it is
    assert seen == [["h", "g"], ["f", "d"], ["c", "b"], ["a"]]


async def test_video_page_shows_only_videos_of_the_caller(alice: Caller, bob: Caller) -> None:
    for each in "abc":
        await put(alice, f"hers-{each}")
        await put(bob, f"his-{each}")
    assert await names(bob, "/api/videos?limit=2") == [["his-c", "his-b"], ["his-a"]]
    link = (await alice.get("/api/videos?limit=1")).headers["Link"]
    [cursor] = re.findall(r"cursor=([\w-]+)", link)
    assert await names(bob, f"/api/videos?cursor={cursor}") == [["his-b", "his-a"]]


LISTS = ["/api/videos", "/api/shared-reports", "/api/videos/job-1/shared-reports"]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", ["0", "201", "-1", "1.0", "", "x", "+1", "٣", "9" * 10])
async def test_limit_that_is_not_a_number_from_1_to_200_is_rejected(
    alice: Caller, path: str, limit: str
) -> None:
    await alice.put_video()
    answer = await alice.get(path, params={"limit": limit})
    assert is_problem(answer, 422, "invalid-request")
    assert "`limit`" in answer.json["detail"]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "cursor",
    ["", "x", "1", "AAAAAAAAAAAA", "____________", "AAAAAAAAAA==", "AAAAAAAAAAAAAAAA", "ü"],
)
async def test_cursor_that_was_not_issued_is_rejected(
    alice: Caller, path: str, cursor: str
) -> None:
    await alice.put_video()
    answer = await alice.get(path, params={"cursor": cursor})
    assert is_problem(answer, 422, "invalid-request")
    assert "`cursor`" in answer.json["detail"]


async def test_next_page_link_begins_with_the_configured_address(
    start: Start, config: Config
) -> None:
    service = await start(
        Config(database=config.database, base_url="https://reports.example.com/x")
    )
    await put(service.alice, *"ab")
    link = (await service.alice.get("/api/videos?limit=1")).headers["Link"]
    assert re.fullmatch(
        r"<https://reports\.example\.com/x/api/videos\?limit=1&cursor=[\w-]{12}>; rel=\"next\"",
        link,
    )


async def test_filter_of_videos_looks_at_few_rows_a_statement(
    alice: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.repositories.list_pages._SCAN_ROWS", 3)
    await put(alice, "needle", project_id="p")
    await put(alice, *map(str, range(10)))
    statements = Statements(monkeypatch)
    assert await names(alice, "/api/videos?project_id=p") == [["needle"]]
    looked = statements.scanned("list videos")
    assert (len(looked), max(looked)) == (4, 3)


async def test_page_is_encoded_in_short_steps(
    alice: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(alice, *map(str, range(103)))
    steps: list[int] = []

    def encode(rows: list[Any]) -> bytes:
        steps.append(len(rows))
        return msgspec.json.encode(rows)

    monkeypatch.setattr("service.domain.paging._encode", encode)
    page = await alice.get("/api/videos?limit=200")
    assert [each["job_id"] for each in page.json] == [str(n) for n in reversed(range(103))]
    assert steps == [40, 40, 23]


async def test_map_rows_pauses_after_each_megabyte() -> None:
    events: list[str] = []

    async def other() -> None:
        while len(events) < 9:
            events.append("other")
            await asyncio.sleep(0)

    def map_row(row: tuple[Any, ...]) -> int:
        events.append("row")
        return int(row[0])

    task = asyncio.create_task(other())
    rows = [(n, "x" * 2**19) for n in range(4)]
    assert await link_mapping.map_rows(rows, map_row, 1) == [0, 1, 2, 3]
    await task
    assert events[:6] == ["row", "row", "other", "row", "row", "other"]
