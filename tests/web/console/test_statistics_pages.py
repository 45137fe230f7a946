"""Statistics in the console: the plot of a link's and a video's views, and a user's usage."""

import dataclasses
import re

import pytest
from support.console import Console, signed_in, text_of
from support.harness import Caller, Service, Start, segment

from service.config import Config
from service.domain.statistics import ViewBucket
from service.web.app_keys import VIEWS
from service.web.console.plot import HEIGHT, plot
from service.web.console.words import bytes_words, distance_words

pytestmark = pytest.mark.own_service


def bucket(day: int, pages: int, api: int = 0) -> ViewBucket:
    return ViewBucket(f"2025-01-{day:02}T00:00:00", pages + api, 0, pages, api, 0)


def test_plot_has_a_bar_for_each_bucket_with_views() -> None:
    shown = plot([bucket(1, 0), bucket(2, 150, 150), bucket(3, 1), bucket(4, 0)], is_hourly=False)
    [first, second] = shown.bars
    assert (first.x, first.width) == (27.5, 20)
    assert (first.pages, first.api) == (HEIGHT / 2, HEIGHT / 2)
    assert second.pages == round(HEIGHT / 300, 2)
    assert shown.lines == [(HEIGHT, 300), (HEIGHT / 2, 150)]
    assert shown.views == 301
    assert [start for _, start in shown.labels] == [f"2025-01-{n:02}T00:00:00" for n in range(1, 5)]


@pytest.mark.parametrize(
    ("views", "top"), [(0, 1), (1, 1), (5, 6), (9, 10), (11, 20), (99, 100), (269, 300)]
)
def test_plot_ends_at_a_round_number(views: int, top: int) -> None:
    shown = plot([bucket(1, views)], is_hourly=False)
    assert shown.lines[0] == (HEIGHT, top)
    assert all(bar.pages <= HEIGHT for bar in shown.bars)


def test_plot_of_most_buckets_has_few_labels() -> None:
    shown = plot([bucket(1, 1)] * 750, is_hourly=True)
    assert (len(shown.bars), len(shown.labels)) == (750, 6)
    assert all(bar.x + bar.width <= 100 for bar in shown.bars)


def test_words_say_how_far_a_moment_is() -> None:
    now = "2025-01-15T10:00:00"
    assert distance_words("2025-01-22T10:00:00", now) == "in 7 days"
    assert distance_words("2025-01-15T09:00:00", now) == "1 hour ago"
    assert distance_words("2025-01-15T10:00:30", now) == "in less than a minute"
    assert distance_words(now, now) == "just now"
    assert distance_words("2028-01-15T10:00:00", now) == "in 3 years"
    assert [bytes_words(n) for n in (0, 1023, 1536, 3 * 2**30)] == [
        *("0 bytes", "1023 bytes", "1.5 KiB", "3.0 GiB")
    ]


@pytest.fixture
async def console(service: Service, alice: Caller) -> Console:
    await alice.put_video(segments=[segment(0, 1)])
    link = await alice.share(label="press")
    other = await alice.share()
    for path in (f"/r/{link['share_hash']}", f"/api/shared-reports/{link['share_hash']}"):
        assert (await service.public.get(path)).status == 200
    await service.advance(86_400)
    for each in (link, other):
        assert (await service.public.get(f"/r/{each['share_hash']}")).status == 200
    await service.app[VIEWS].write()
    return await signed_in(service, alice)


async def test_statistics_of_a_link_are_a_plot_and_a_table(console: Console) -> None:
    page = await console.get("/links/1/statistics")
    text, html = text_of(page), page.body.decode()
    assert "Views 3" in text
    assert html.count("<rect") == 3  # two on the first day, by page and by API
    assert "15 January 2025: 2 views, 1 on the page, 1 by the API" in text
    rows = re.findall(r'<tr><th scope="row">([^<]*)</th><td>(\d+)</td><td>(\d+)', html)
    assert rows == [("16 January 2025", "1", "1"), ("15 January 2025", "2", "1")]
    link = await console.get("/links/1")
    assert link.body.count(b"<rect") == 3
    assert b'href="../links/1/statistics"' in link.body


async def test_statistics_of_a_video_have_all_its_links(console: Console, alice: Caller) -> None:
    await alice.delete("/api/shared-reports/2")
    text = text_of(await console.get("/videos/1/statistics"))
    assert "Views 4" in text
    assert "16 January 2025: 2 views" in text


async def test_statistics_have_the_period_that_is_asked_for(console: Console) -> None:
    page = await console.get("/links/1/statistics?interval=hour&from=2025-01-15T09:00:00")
    assert "15 January, 10:00: 2 views" in text_of(page)
    assert b"selected>an hour" in page.body
    page = await console.get("/links/1/statistics?to=2025-01-15T00:00")
    assert "No views in this period." in text_of(page)
    for query in ("from=soon", "interval=week", "from=2025-01-16T00:00&to=2025-01-15T00:00"):
        page = await console.get(f"/links/1/statistics?{query}")
        assert page.status == 200
        assert 'role="alert"' in page.body.decode(), query
    presets = re.findall(r'href="(\?interval=[^"]*)"', page.body.decode())
    assert len(presets) == 5
    for preset in presets:
        page = await console.get(f"/links/1/statistics{preset.replace('&amp;', '&')}")
        assert b'role="alert"' not in page.body, preset


async def test_usage_shows_quotas_and_rules(start: Start, config: Config) -> None:
    service = await start(
        dataclasses.replace(
            config,
            max_links_per_user=4,
            max_videos_per_user=2,
            default_lifetime_days=7,
            max_lifetime_days=30,
        )
    )
    await service.alice.put_video()
    await service.alice.share(expires_at="2025-01-16T00:00:00")
    console = await signed_in(service, service.alice)
    text = text_of(await console.get("/usage"))
    assert "Links that work 1 of 4" in text
    assert "Videos 1 of 2" in text
    assert "no limit" in text
    assert "A new link lives 7 days, unless you say otherwise" in text
    assert "A link may live 30 days at most" in text


async def test_form_of_a_new_link_follows_the_rules_of_the_operator(
    start: Start, config: Config
) -> None:
    service = await start(
        dataclasses.replace(
            config, default_lifetime_days=7, max_lifetime_days=30, max_links_per_user=1
        )
    )
    alice = service.alice
    await alice.put_video()
    console = await signed_in(service, alice)
    answer = await console.submit("/videos/1/share", expires_at__mode="none")
    assert answer.status == 422  # never is never, and not the default
    assert "A link lives 30 days at most here" in text_of(answer)
    assert (await console.submit("/videos/1/share")).status == 303
    [link] = (await alice.get("/api/shared-reports")).json
    assert link["expires_at"] == "2025-01-22T10:00:00"
    answer = await console.submit("/videos/1/share", label="one too many")
    assert answer.status == 409
    assert "The quota of links is reached" in text_of(answer)
    assert b"one too many" in answer.body
