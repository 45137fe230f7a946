"""What people see: all is there, nothing is let loose, and dead links are explained."""

import dataclasses
import re
from html import unescape
from typing import Any

import pytest
from support.harness import Caller, Service, Start, sample, segment
from support.pages import text

from service.config import Config

HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{7*7}}"


async def shared(caller: Caller, **fields: Any) -> str:
    """Put a video and share it; returns the path of its page."""
    await caller.put_video(**fields)
    return f"/r/{(await caller.share())['share_hash']}"


@pytest.fixture
async def page(alice: Caller) -> str:
    return await shared(alice, **{key: each for key, each in sample().items() if key != "job_id"})


async def test_page_shows_its_video_and_every_segment(public: Caller, page: str) -> None:
    answer = await public.get(page)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    shown = text(answer)
    for words in (
        "street-meadow-car.mp4",
        "Status completed",
        "Duration 0:25.2",
        "Analysed 23 November 2026, 17:00 UTC",
        "Expires never",
        "scenes 11 transcription 3 visualelements 9",
    ):
        assert words in shown
    for each in sample()["segments"]:
        assert each["content"] in shown


async def test_timeline_shows_every_segment_at_its_place(public: Caller, page: str) -> None:
    body = (await public.get(page)).body.decode()
    bars = re.findall(r'<a href="#(s\d+)"><rect x="([\d.]+)%" y="[\d.]+" width="([\d.]+)%"', body)
    given = sorted(sample()["segments"], key=lambda each: each["start_time"])
    assert len(bars) == len(given)
    for anchor, x, width in bars:
        position = given[int(anchor[1:])]
        length = position["end_time"] - position["start_time"]
        assert float(x) == pytest.approx(position["start_time"] / 25.24 * 100, abs=0.01)
        assert float(width) == pytest.approx(length / 25.24 * 100, abs=0.01)
        assert f'id="{anchor}"' in body  # the jump leads somewhere
    ticks = re.findall(r'<text x="([\d.]+)%".*?>(.*?)</text>', body)
    assert [label for _, label in ticks] == ["0:00", "0:05", "0:10", "0:15", "0:20"]


async def test_plots_show_numbers_over_time_but_no_counters(public: Caller, page: str) -> None:
    shown = (await public.get(page)).body.decode()
    assert re.findall(r'aria-label="(\w+) over time', shown) == [
        "brightness",
        "saturation",
        "motion",
    ]
    assert "brightness over time, from 0.251 to 0.461" in shown


@pytest.mark.parametrize("field", ["video_name", "content", "module", "key", "value"])
async def test_page_escapes_hostile_text(alice: Caller, public: Caller, field: str) -> None:
    hostile: dict[str, Any] = {
        "module": HOSTILE if field == "module" else "m",
        "content": HOSTILE if field == "content" else "c",
        "metadata": {HOSTILE if field == "key" else "k": HOSTILE if field == "value" else 1},
    }
    path = await shared(
        alice,
        video_name=HOSTILE if field == "video_name" else "n",
        segments=[segment(0, 1, **hostile), segment(1, 2, **hostile)],
    )
    answer = await public.get(path)
    body = answer.body.decode()
    assert HOSTILE in unescape(body)
    assert "<script" not in body
    assert "<img src=x" not in body
    assert "49" not in text(answer)
    assert body.count("<title>") == 1 + (2 if "<svg" in body else 0)
    for download in ("analysis.json", "analysis.csv", "transcript.vtt"):
        headers = (await public.get(f"{path}/{download}")).headers
        assert re.fullmatch(r'attachment; filename="[\w.-]+"', headers["Content-Disposition"])


async def test_page_allows_no_scripts_caching_framing_or_foreign_sources(
    public: Caller, page: str
) -> None:
    answer = await public.get(page)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Robots-Tag"] == "noindex"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    body = answer.body.decode()
    addresses = re.findall(r'(?:src|href)="([^"]*)"', body)
    assert not [each for each in addresses if re.match(r"https?:|//", each)]
    assert "<script" not in body
    assert " style=" not in body


async def test_page_frame_ancestors_are_configurable(start: Start, config: Config) -> None:
    service = await start(dataclasses.replace(config, frame_ancestors="'self' https://a.example"))
    policy = (await service.public.get("/r/x")).headers["Content-Security-Policy"]
    assert policy.endswith("frame-ancestors 'self' https://a.example")


async def test_link_preview_shows_the_name_and_duration(public: Caller, page: str) -> None:
    body = (await public.get(page)).body.decode()
    assert dict(re.findall(r'<meta property="(og:\w+)" content="(.*?)">', body)) == {
        "og:type": "website",
        "og:site_name": "Shared Reports",
        "og:title": "street-meadow-car.mp4",
        "og:description": "Video analysis, 0:25.2",
    }
    assert "<title>street-meadow-car.mp4</title>" in body
    assert body.count('name="theme-color"') == 2


@pytest.mark.parametrize(
    "suffix", ["", "/analysis.json", "/analysis.csv", "/transcript.vtt", "/qr.svg"]
)
async def test_page_explains_a_dead_link_with_the_status_of_the_api(
    service: Service, suffix: str
) -> None:
    await service.alice.put_video()
    report = await service.alice.share(expires_at="2025-01-15T10:01:00")
    revoked = await service.alice.share()
    await service.alice.delete(f"/api/shared-reports/{revoked['id']}")
    await service.advance(60)
    expired = await service.public.get(f"/r/{report['share_hash']}{suffix}")
    assert expired.status == 410
    assert "This link has expired" in text(expired)
    assert "15 January 2025, 10:01 UTC" in text(expired)
    gone = await service.public.get(f"/r/{revoked['share_hash']}{suffix}")
    unknown = await service.public.get(f"/r/AAAAAAAAAAAAAAAA{suffix}")
    assert gone.status == unknown.status == 404
    assert gone.body == unknown.body
    assert "There is no report here" in text(gone)
    for answer in (expired, gone):
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Product Demo" not in text(answer)


async def test_page_shows_the_expiry_of_the_link(alice: Caller, public: Caller) -> None:
    await alice.put_video()
    report = await alice.share(expires_at="2025-02-01T12:30:00+01:00")
    assert "Expires 1 February 2025, 11:30 UTC" in text(
        await public.get(f"/r/{report['share_hash']}")
    )


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("uploaded", "analysis has not begun"),
        ("queued", "waiting for its analysis"),
        ("processing", "being analysed right now"),
        ("failed", "did not succeed"),
        ("completed", "found nothing"),
    ],
)
async def test_page_explains_a_video_without_a_result(
    alice: Caller, public: Caller, status: str, words: str
) -> None:
    answer = await public.get(await shared(alice, status=status, duration=None))
    assert answer.status == 200
    assert words in text(answer)
    assert "Download" not in text(answer)


async def test_metadata_of_any_shape_is_laid_out(alice: Caller, public: Caller) -> None:
    deep: object = "the bottom"
    for _ in range(12):
        deep = {"in": [deep]}
    shapes = [
        {"objects": [{"label": "dog", "box": [1, 2.5, 3, 4]}, {"label": "cat"}]},
        ["plain", "list"],
        "just text",
        12345678901234567890,
        {"yes": True, "no": False, "none": None, "empty": {}, "void": []},
        deep,
    ]
    segments = [segment(n, n + 1, metadata=shape) for n, shape in enumerate(shapes)]
    path = await shared(alice, segments=segments)
    answer = await public.get(path)
    assert answer.status == 200
    shown = text(answer)
    for words in (
        "objects \u203a label: dog objects \u203a box: 1, 2.5, 3, 4 objects \u203a label: cat",
        "plain, list",
        "just text",
        "yes: yes no: no none: \u2013",
        "12345678901234567890",
        "the bottom",
    ):
        assert words in shown
    whole = [text(await public.get(f"{path}?entry={position}")) for position in range(len(shapes))]
    for page, words in zip(
        whole,
        (
            *("label dog box 1 2.5 3 4 label cat", "plain list", "just text"),
            *("12345678901234567890", "yes yes no no none \u2013 empty {} void []", "the bottom"),
        ),
        strict=True,
    ):
        assert words in page


async def test_page_of_a_long_report_is_split_and_its_timeline_is_whole(
    alice: Caller, public: Caller
) -> None:
    path = await shared(
        alice,
        duration=700,
        segments=[segment(n, n + 1, "frames", content=f"number-{n}.") for n in range(700)],
    )
    pages = [(await public.get(f"{path}?page={page}")).body.decode() for page in (1, 2, 3)]
    for number, page in enumerate(pages):
        shown = re.findall(r"number-(\d+)\.</p>", page)
        assert list(map(int, shown)) == list(range(number * 300, min((number + 1) * 300, 700)))
        assert re.findall(r'<path d="(M.*?)"', page) == ["M0 8V0H200V8Z"]
    assert "Page 2 of 3, 5:00 to 10:00" in text(await public.get(f"{path}?page=2"))
    links = [re.findall(r'href="([^"]*)" rel="(prev|next)"', page) for page in pages]
    assert links == [
        [("?page=2", "next")] * 2,
        [("?page=1", "prev"), ("?page=3", "next")] * 2,
        [("?page=2", "prev")] * 2,
    ]
    assert "number-400" in text(await public.get(f"{path}?all=1"))
    for odd in ("0", "-1", "x", "99", "", "\uff11", "9" * 50):
        assert (await public.get(f"{path}?page={odd}")).status == 200
        assert (await public.get(f"{path}?entry={odd}")).status == 200


async def test_part_of_an_earlier_release_leads_to_its_findings(
    alice: Caller, public: Caller
) -> None:
    path = await shared(
        alice, segments=[segment(n, n + 1, content=f"number-{n}.") for n in range(4_100)]
    )
    for part, position in (("1", 0), ("2", 2_000), ("3", 4_000), ("9", 4_099)):
        assert f'id="s{position}"' in (await public.get(f"{path}?part={part}")).body.decode()


async def test_timeline_stacks_overlapping_segments(alice: Caller, public: Caller) -> None:
    path = await shared(alice, duration=10, segments=[segment(0, 9), segment(1, 9), segment(2, 9)])
    heights = re.findall(
        r'<rect x="[\d.]+%" y="([\d.]+)" width', (await public.get(path)).body.decode()
    )
    assert len(set(heights)) == 3


async def test_api_redirects_a_browser_to_the_page(alice: Caller, public: Caller) -> None:
    page = await shared(alice)
    path = f"/api/shared-reports{page[2:]}"
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    answer = await public.get(path, headers={"Accept": browser})
    assert answer.status == 302
    assert answer.headers["Location"].endswith(page)
    for accept in (
        "*/*",
        "application/json",
        "application/json, text/html;q=0.9",
        "text/html;q=0.5, */*",
        "text/html;q=x",
        "",
    ):
        assert (await public.get(path, headers={"Accept": accept})).status == 200


async def test_qr_code_is_served_as_svg(alice: Caller, public: Caller) -> None:
    answer = await public.get(f"{await shared(alice)}/qr.svg")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert b"<svg" in answer.body
