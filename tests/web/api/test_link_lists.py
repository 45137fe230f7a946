"""Lists of links: filtered and in pages, whatever comes and goes meanwhile."""

from collections.abc import Callable
from typing import Any

import pytest
from support.harness import START, Caller, Service, is_problem
from support.links import AFTER, BECOMES, BEFORE, COMBINATIONS, status_of, write
from support.lists import pages
from support.statements import Statements

ALL = "/api/shared-reports"
OF_VIDEO = "/api/videos/job-1/shared-reports"
LISTS = [ALL, OF_VIDEO]


async def ids(caller: Caller, path: str, **query: str) -> list[str]:
    """The ids on the first page, or on all that there is."""
    answer = await caller.get(path, params=query)
    assert answer.status == 200, answer.body
    return [each["id"] for each in answer.json]


async def share(caller: Caller, count: int, **fields: Any) -> list[str]:
    """Create links; returns their ids, newest first."""
    return [(await caller.share(**fields))["id"] for _ in range(count)][::-1]


async def test_link_list_of_a_user_agrees_with_the_lists_of_videos(alice: Caller) -> None:
    await alice.put_video("job-1")
    await alice.put_video("job-2")
    made = [await alice.share(f"job-{n}", label=f"link {n}") for n in (1, 2, 1)]
    assert (await alice.get(ALL)).json == made[::-1]
    assert (await alice.get(OF_VIDEO)).json == [made[2], made[0]]


async def test_link_list_without_links_is_one_empty_page(alice: Caller) -> None:
    answer = await alice.get(ALL)
    assert (answer.json, "Link" in answer.headers) == ([], False)


async def test_link_list_page_holds_50_by_default_and_a_videos_list_is_whole(
    alice: Caller,
) -> None:
    await alice.put_video()
    made = await share(alice, 53, label="x")
    assert [len(page) async for page in pages(alice, ALL)] == [50, 3]
    for query in ("", "?status=active", "?label=x", "?status=active&label=x"):
        answer = await alice.get(f"{OF_VIDEO}{query}")
        assert [each["id"] for each in answer.json] == made
        assert "Link" not in answer.headers
    cursor = (await alice.get(f"{OF_VIDEO}?limit=1")).headers["Link"].partition("cursor=")[2][:12]
    assert await ids(alice, OF_VIDEO, cursor=cursor) == made[1:51]


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 200])
@pytest.mark.parametrize("path", LISTS)
async def test_pages_are_the_list_in_parts(alice: Caller, path: str, limit: int) -> None:
    await alice.put_video()
    made = await share(alice, 6)
    found = [[each["id"] for each in page] async for page in pages(alice, f"{path}?limit={limit}")]
    assert found == [made[n : n + limit] for n in range(0, 6, limit)]


@pytest.mark.parametrize("query", ["", "&label=x", "&status=active"])
@pytest.mark.parametrize("looks", [1, 2, 3, 10_000])
@pytest.mark.parametrize("path", LISTS)
async def test_link_list_pages_stay_consistent_while_links_come_and_go(
    alice: Caller, set_scan_rows: Callable[[int], None], path: str, looks: int, query: str
) -> None:
    set_scan_rows(looks)
    await alice.put_video()
    h, g, f, e, d, c, b, a = await share(alice, 8, label="x")
    seen: list[list[str]] = []
    async for page in pages(alice, f"{path}?limit=2{query}"):
        seen.append([each["id"] for each in page])
        if len(seen) == 1:
            await share(alice, 3, label="x")
            for gone in (h, g, e):  # shown; shown, and what the cursor names; not shown yet
                await alice.delete(f"{ALL}/{gone}")
            await alice.post(f"{ALL}/{c}/rotate")
    assert seen == [[h, g], [f, d], [c, b], [a]]


@pytest.mark.parametrize("path", LISTS)
async def test_status_filter_lists_the_links_with_that_status(service: Service, path: str) -> None:
    alice = service.alice
    await alice.put_video()
    expected: dict[str, list[str]] = {status: [] for status in BECOMES}
    for row in COMBINATIONS:
        [made] = await share(alice, 1)
        write(service, made, row)
        expected[status_of(row)].insert(0, made)
    for status, wanted in expected.items():
        assert wanted
        query = f"{path}?status={status}&limit=9"
        found = [each async for page in pages(alice, query) for each in page]
        assert [each["id"] for each in found] == wanted
        assert {each["status"] for each in found} == {status}


async def test_status_filter_follows_the_clock_to_the_second(service: Service) -> None:
    await service.alice.put_video()
    [made] = await share(service.alice, 1, not_before=AFTER, expires_at="2025-01-15T10:00:02")
    for status in ("scheduled", "active", "expired"):
        for each in BECOMES:
            found = await ids(service.alice, ALL, status=each)
            assert found == ([made] if each == status else [])
        await service.advance(1)


async def test_video_filter_takes_the_same_names_as_create(alice: Caller, bob: Caller) -> None:
    first, second = await alice.put_video("job-1"), await alice.put_video("job-2")
    tricky = await alice.put_video(first["id"])  # its job id is another one's id
    [a], [b], [c] = [await share(alice, 1, video_id=each) for each in ("job-1", "job-2", "job-1")]
    [d] = await share(alice, 1, video_id=tricky["id"])
    assert await ids(alice, ALL, video_id="job-1") == [c, a]
    assert await ids(alice, ALL, video_id=second["id"]) == [b]
    two = await alice.get(f"{ALL}?video_id={first['id']}")
    assert is_problem(two, 409, "conflict")
    assert await ids(alice, ALL, video_id=tricky["id"]) == [d]
    for unknown in ("job-3", "9" * 18, "", f"0{second['id']}", "\0", "ü" * 300):
        assert await ids(alice, ALL, video_id=unknown) == []
    for hers in ("job-1", first["id"], second["id"]):
        assert await ids(bob, ALL, video_id=hers) == []


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("press", ["press 2", "press 1"]),
        ("press 1", ["press 1"]),
        ("press 11", []),
        ("Press", ["Press"]),
        ("ress", []),
        ("%", ["%_x"]),
        ("_", []),
        ("%_", ["%_x"]),
        ("*", []),
        ("'", []),
        ("ü", ["über"]),
        ("\0", []),
        ("", ["über", "", "%_x", "Press", "press 2", "press 1"]),
        ("x" * 4000, []),
    ],
)
@pytest.mark.parametrize("path", LISTS)
async def test_label_filter_matches_prefixes(
    alice: Caller, path: str, prefix: str, found: list[str]
) -> None:
    await alice.put_video()
    for label in ("press 1", "press 2", None, "Press", "%_x", "", "über"):
        await alice.share(label=label)
    answer = await alice.get(path, params={"label": prefix})
    assert [each["label"] for each in answer.json] == found


@pytest.mark.parametrize("path", LISTS)
async def test_expires_before_filter_excludes_its_own_moment(service: Service, path: str) -> None:
    alice = service.alice
    await alice.put_video()
    [soon], [later], _ = [await share(alice, 1, expires_at=at) for at in (AFTER, AFTER, None)]
    write(service, soon, {"expires_at": BEFORE})
    assert await ids(alice, path, expires_before=BEFORE) == []
    assert await ids(alice, path, expires_before=START) == [soon]
    assert await ids(alice, path, expires_before=AFTER) == [soon]
    assert set(await ids(alice, path, expires_before="2025-01-15T12:00:02+02:00")) == {later, soon}
    assert set(await ids(alice, path, expires_before="2025-01-16")) == {later, soon}


async def test_filters_combine_and_hold_on_every_page(service: Service) -> None:
    alice = service.alice
    await alice.put_video("job-1")
    await alice.put_video("job-2")
    wanted = await share(alice, 3, label="a & b", expires_at=AFTER)
    await alice.share("job-2", label="a & b", expires_at=AFTER)
    await alice.share(label="a | b", expires_at=AFTER)
    await alice.share(label="a & b", expires_at="2030-01-01")
    off = await alice.share(label="a & b", expires_at=AFTER)
    await alice.patch(f"{ALL}/{off['id']}", {"is_active": False})
    query = "status=active&video_id=job-1&label=a%20%26%20b&expires_before=2025-01-15T10:00:02Z"
    found = [page async for page in pages(alice, f"{ALL}?{query}&limit=1")]
    assert [[each["id"] for each in page] for page in found] == [[each] for each in wanted]


@pytest.mark.parametrize(
    "query",
    [
        {"status": "lost"},
        {"status": ""},
        {"status": "ACTIVE"},
        {"status": "active' OR 1"},
        {"expires_before": ""},
        {"expires_before": "soon"},
        {"expires_before": "2025-02-30"},
        {"expires_before": "0001-01-01T00:00:00+14:00"},
        {"expires_before": "1736935200"},
    ],
)
@pytest.mark.parametrize("path", LISTS)
async def test_filter_that_is_invalid_is_rejected(
    alice: Caller, path: str, query: dict[str, str]
) -> None:
    await alice.put_video()
    answer = await alice.get(path, params=query)
    assert is_problem(answer, 422, "invalid-request")
    assert f"`{next(iter(query))}`" in answer.json["detail"]


@pytest.mark.parametrize(
    "query", ["label=%ED%A0%80", "label=%FF", "label=%00", "video_id=%ED%A0%80"]
)
async def test_filter_that_is_not_text_finds_nothing(alice: Caller, query: str) -> None:
    await alice.put_video()
    await alice.share(label="x")
    answer = await alice.get(f"{ALL}?{query}")
    assert answer.status in ({200, 422} if query == "label=%00" else {400})
    if answer.status == 200:
        assert answer.json == []


async def test_link_list_shows_no_links_of_another_user(alice: Caller, bob: Caller) -> None:
    for caller in (alice, bob):
        await caller.put_video()
    mixed = [(caller, (await share(caller, 1, label="x"))[0]) for caller in (alice, bob) * 4]
    for caller in (alice, bob):
        own = [made for whose, made in mixed if whose is caller][::-1]
        for query in ({}, {"label": "x"}, {"status": "active"}, {"video_id": "job-1"}):
            assert await ids(caller, ALL, **query) == own
            assert await ids(caller, OF_VIDEO) == own
    # A cursor is a place, and opens nothing: in another's hands it is a place in their own list.
    link = (await alice.get(f"{ALL}?limit=1&label=x")).headers["Link"]
    cursor = link.partition("cursor=")[2][:12]
    shown = await ids(bob, ALL, cursor=cursor)
    assert shown == [made for whose, made in mixed if whose is bob][::-1][1:]


@pytest.mark.parametrize("path", LISTS)
async def test_filter_with_few_matches_reads_in_bounded_steps(
    alice: Caller, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """However many links it has to look at, a trip looks at few, and others get between."""
    monkeypatch.setattr("service.repositories.list_pages._SCAN_ROWS", 3)
    await alice.put_video()
    needle = (await share(alice, 1, label="needle"))[0]
    await share(alice, 10, label="hay")
    statements = Statements(monkeypatch)
    assert await ids(alice, path, label="needle") == [needle]
    looked = statements.scanned("list a")
    assert len(looked) == 4
    assert max(looked) == 3
    statements.finished.clear()
    assert len(await ids(alice, path, label="hay", limit="5")) == 5
    assert len(statements.scanned("list a")) == 2


async def test_link_list_of_a_video_needs_no_valid_host(alice: Caller) -> None:
    await alice.put_video()
    made = await share(alice, 2)
    nowhere = {"Host": '"><script>'}
    answer = await alice.get(OF_VIDEO, headers=nowhere)
    assert (answer.status, [each["id"] for each in answer.json]) == (200, made)
    assert is_problem(
        await alice.get(f"{OF_VIDEO}?limit=1", headers=nowhere), 400, "malformed-request"
    )


@pytest.mark.parametrize(("stored", "asked"), [("u\u0308ber", "\u00fc"), ("\u00fcber", "u\u0308")])
async def test_label_filter_finds_text_that_looks_equal(
    alice: Caller, stored: str, asked: str
) -> None:
    await alice.put_video()
    report = await alice.share(label=stored, note=stored)
    assert (report["label"], report["note"]) == ("\u00fcber", "\u00fcber")
    changed = await alice.patch(f"/api/shared-reports/{report['id']}", {"label": stored})
    assert changed.json["label"] == "\u00fcber"
    for path in LISTS:
        assert await ids(alice, path, label=asked) == [report["id"]]
