"""Searches and filters of a link's page and downloads: what they show, and what they cost."""

import csv
import io
import re
from typing import Any

import pytest
from support.access import PASSWORD, token_for
from support.harness import Caller, Service, is_problem, segment
from support.pages import text

from service.web.app_keys import VIEWS

FINDINGS = [
    segment(0, 2, "scenes", content="Scene 1", metadata={"start_frame": 0}),
    segment(1, 4, "transcription", content="the red car", metadata={"speaker": "Ann"}),
    segment(5, 6, "objects", content="car", metadata={"colour": "r\u00e9d"}),
    segment(8, 9, "transcription", content="it left", metadata={"speaker": "Ben"}),
]


async def shared(alice: Caller, **fields: Any) -> str:
    await alice.put_video(segments=FINDINGS, duration=10)
    return f"/r/{(await alice.share(**fields))['share_hash']}"


def entries(body: bytes) -> list[int]:
    return sorted(int(position) for position in re.findall(rb'(?:li|div) id="s(\d+)"', body))


QUERIES = {
    "": [0, 1, 2, 3],
    "?q=RED": [1, 2],
    "?q=red&module=objects": [2],
    "?module=objects&module=scenes": [0, 2],
    "?module=nothing": [],
    "?module=": [],
    "?speaker=Ben": [3],
    "?speaker=nobody": [],
    "?from=0:03&to=6": [1, 2],
    "?q=start_frame": [],
    "?utm_source=x": [0, 1, 2, 3],
}


@pytest.mark.parametrize("query", QUERIES)
async def test_page_and_downloads_have_what_is_selected(
    alice: Caller, public: Caller, query: str
) -> None:
    path = await shared(alice)
    contents = [FINDINGS[position]["content"] for position in QUERIES[query]]
    page = await public.get(path + query)
    assert entries(page.body) == QUERIES[query]
    document = (await public.get(f"{path}/analysis.json{query}")).json
    assert [each["content"] for each in document["segments"]] == contents
    table = (await public.get(f"{path}/analysis.csv{query}")).body.decode()
    assert [row["content"] for row in csv.DictReader(io.StringIO(table))] == contents


async def test_search_marks_hits_and_says_how_many(alice: Caller, public: Caller) -> None:
    path = await shared(alice)
    page = await public.get(f"{path}?q=r%C3%89d")
    assert "2 of 4 findings have \u201c r\u00c9d \u201d" in text(page)
    body = page.body.decode()
    assert "the <mark>red</mark> car" in body
    assert "<details open>" in body
    assert "colour: <mark>r\u00e9d</mark>" in body
    finding = await public.get(f"{path}?q=red&entry=2")
    assert "2 of 2 with" in text(finding)
    assert 'href="?q=red&amp;entry=1" rel="prev"' in finding.body.decode()


@pytest.mark.parametrize("query", ["?from=never", "?to=1:2:3:4", "?from=2&to=1"])
async def test_parameter_that_cannot_be_read_is_named(
    alice: Caller, public: Caller, query: str
) -> None:
    path = await shared(alice)
    page = await public.get(path + query)
    assert page.status == 200
    assert 'role="alert"' in page.body.decode()
    for file in ("analysis.json", "analysis.csv", "transcript.vtt", "transcript.srt"):
        answer = await public.get(f"{path}/{file}{query}")
        assert is_problem(answer, 400, "malformed-request")


async def test_queries_show_nothing_that_the_link_hides(alice: Caller, public: Caller) -> None:
    path = await shared(alice, modules=["scenes"])
    for query in ("", "?q=car", "?module=objects", "?speaker=Ann", "?entry=1", "?all=1", "?from=3"):
        for file in ("", "/analysis.json", "/analysis.csv", "/transcript.vtt", "/transcript.srt"):
            body = (await public.get(f"{path}{file}{query}")).body
            for hidden in (b"red car", b"Ben", b"transcription", b"colour", b"/transcript."):
                assert hidden not in body, (query, file)


@pytest.mark.parametrize(
    ("query", "site", "counts"),
    [
        ("", None, True),
        ("", "none", True),
        ("", "cross-site", True),
        ("", "same-origin", False),
        ("?q=car", None, False),
        ("?q=car", "none", True),
        ("?q=car", "cross-site", True),
        ("?q=car", "same-site", True),
        ("?q=car", "same-origin", False),
        ("?page=1", None, False),
        ("?utm_source=x", None, True),
    ],
)
async def test_moving_about_in_a_report_is_no_view(
    service: Service, query: str, site: str | None, *, counts: bool
) -> None:
    path = await shared(service.alice)
    headers = {} if site is None else {"Sec-Fetch-Site": site}
    assert (await service.public.get(path + query, headers=headers)).status == 200
    await service.app[VIEWS].write()
    [link] = (await service.alice.get("/api/shared-reports")).json
    assert link["view_count"] == int(counts)


@pytest.mark.parametrize("limits", [{"max_views": 1}, {"password": PASSWORD}])
async def test_queries_of_a_protected_link_need_a_token(
    service: Service, limits: dict[str, Any]
) -> None:
    path = await shared(service.alice, **limits)
    queries = ("", "?q=car", "?page=1", "?entry=0", "?all=1", "?module=scenes", "?from=0")
    for query in queries:
        for headers in ({}, {"Sec-Fetch-Site": "same-origin"}):
            page = await service.public.get(path + query, headers=headers)
            assert b'<form method="post"' in page.body
            assert b"Product Demo" not in page.body
            for file in ("/analysis.json", "/transcript.srt"):
                answer = await service.public.get(path + file + query, headers=headers)
                assert answer.status == 401
    token = await token_for(service, path.removeprefix("/r/"), limits.get("password"))
    for query in queries:
        page = await service.public.get(path + query, headers={"X-Share-Token": token})
        assert b"Product Demo" in page.body
    [link] = (await service.alice.get("/api/shared-reports")).json
    assert link["view_count"] == 1


async def test_sender_is_on_the_page_and_in_no_public_json(alice: Caller, public: Caller) -> None:
    path = await shared(alice, sender="Ann <b>")
    page = await public.get(path)
    assert "Shared by Ann <b>" in text(page)
    for address in (f"/api/shared-reports/{path[3:]}", f"{path}/analysis.json"):
        assert b"Ann <b>" not in (await public.get(address)).body
    [link] = (await alice.get("/api/shared-reports")).json
    changed = await alice.patch(f"/api/shared-reports/{link['id']}", {"sender": None})
    assert changed.json["sender"] is None
    assert "Shared by" not in text(await public.get(path))


async def test_page_says_how_long_the_link_works(service: Service) -> None:
    path = await shared(service.alice, expires_at="2025-01-19T10:00:00")
    for seconds, words in ((0, "in 4 days"), (86_400 * 3, "in 24 hours"), (23.5 * 3_600, "hour")):
        await service.advance(seconds)
        assert words in text(await service.public.get(path))
