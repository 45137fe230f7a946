"""The pages in a real browser, as a viewer gets them."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize, expect
from support.browser import Site, chromium
from support.harness import SAMPLE
from support.process import new_key, serving

DESKTOP: ViewportSize = {"width": 1200, "height": 800}
PHONE: ViewportSize = {"width": 375, "height": 740}
HOSTILE = "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    key = new_key(folder)
    with serving(folder) as server:
        yield Site(server, key)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport=DESKTOP)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text))
    yield page
    page.close()
    # A page that is a 404 or a 410 is told on the console; nothing else may be.
    assert [each for each in errors if "the server responded with a status of 4" not in each] == []


@pytest.fixture(scope="module")
def sample_page(site: Site) -> str:
    return site.share("sample", json.loads(SAMPLE.read_bytes()) | {"job_id": "sample"})


def violations(page: Page) -> list[str]:
    results = Axe().run(page).response["violations"]
    return [f"{each['id']}: {[node['target'] for node in each['nodes']]}" for each in results]


def sideways(page: Page) -> int:
    """By how many pixels the page is wider than the screen."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def test_demo_link_opens_the_report(tmp_path: Path, page: Page) -> None:
    with serving(tmp_path, "--demo") as server:
        link = re.search(r"http://\S+/r/\w+", server.read_until("-X DELETE"))
        assert link is not None
        page.goto(link[0])
        assert page.title() == "street-meadow-car.mp4"
        assert page.get_by_role("heading", level=1).inner_text() == "street-meadow-car.mp4"
        assert page.get_by_role("heading", level=2).all_inner_texts() == [
            "At a glance",
            "scenes",
            "transcription",
            "visualelements",
        ]


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_timeline_places_segments_at_their_times(
    page: Page, sample_page: str, viewport: ViewportSize
) -> None:
    page.set_viewport_size(viewport)
    page.goto(sample_page)
    picture = page.locator(".timeline .track").first.bounding_box()
    assert picture is not None
    segments = sorted(
        json.loads(SAMPLE.read_bytes())["segments"], key=lambda each: each["start_time"]
    )
    for position, segment in enumerate(segments):
        bar = page.locator(f'.timeline a[href="#s{position}"] rect').bounding_box()
        assert bar is not None
        start = picture["x"] + picture["width"] * segment["start_time"] / 25.24
        end = picture["x"] + picture["width"] * segment["end_time"] / 25.24
        assert bar["x"] == pytest.approx(start, abs=1.5)
        assert bar["x"] + bar["width"] == pytest.approx(end, abs=1.5)
    title = page.locator('.timeline a[href="#s1"] title').text_content()
    assert title is not None
    assert title.startswith("transcription · 0:00.0 to 0:07.9 · the short to you")


def test_timeline_bar_jumps_to_its_entry_by_mouse_and_keyboard(
    page: Page, sample_page: str
) -> None:
    page.goto(sample_page)
    bar = page.locator('.timeline a[href="#s22"]')
    bar.click()
    assert page.url.endswith("#s22")
    expect(page.locator("#s22")).to_be_in_viewport()
    assert "24.7" in page.locator("#s22").inner_text()
    page.goto(sample_page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the findings"
    steps = 0
    while page.evaluate("document.activeElement.getAttribute('href')") != "#s0":
        page.keyboard.press("Tab")
        steps += 1
        assert steps < 20
    page.keyboard.press("Enter")
    assert page.url.endswith("#s0")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_pages_have_no_axe_violations(
    page: Page, site: Site, sample_page: str, viewport: ViewportSize, scheme: Any
) -> None:
    page.set_viewport_size(viewport)
    page.emulate_media(color_scheme=scheme)
    waiting = site.share("waiting", {"name": "Waiting", "status": "processing"})
    failed = site.share("failed", {"name": "Failed", "status": "failed"})
    odd = site.share("odd", odd_export())
    for address in (sample_page, waiting, failed, odd, f"{site.url}/r/x", f"{site.url}/docs"):
        page.goto(address)
        assert violations(page) == []
        assert sideways(page) <= 0


def odd_export() -> dict[str, Any]:
    """A very long name, right-to-left text, nested metadata, modules that nobody has seen."""
    return {
        "name": "סרטון " + "verylongnamewithoutanyspace" * 12,
        "duration": 3700,
        "segments": [
            {
                "module": f"module-{n % 12}-" + "x" * (n % 12) * 12,
                "content": "مرحبا بالعالم" if n % 2 else "word" * 60,
                "start_time": n * 30,
                "end_time": n * 30 + 60,
                "metadata": {
                    "score": n % 7 / 7,
                    "objects": [{"label": "dog", "box": [1, 2, 3, 4]}, {"k" * 80: "v" * 200}],
                },
            }
            for n in range(120)
        ],
    }


def test_page_shows_a_hostile_name_as_text(page: Page, site: Site) -> None:
    segment = {"module": HOSTILE, "content": HOSTILE, "start_time": 0, "end_time": 1}
    page.goto(
        site.share(
            "hostile",
            {"name": HOSTILE, "segments": [segment | {"metadata": {HOSTILE: HOSTILE}}]},
        )
    )
    assert page.title() == HOSTILE
    assert page.get_by_role("heading", level=1).inner_text() == HOSTILE
    assert page.locator("script").count() == 0
    assert page.locator("img:not([src$='qr.svg'])").count() == 0


def test_page_requests_nothing_but_itself(page: Page, sample_page: str) -> None:
    asked: list[str] = []
    page.on("request", lambda each: asked.append(each.url))
    page.goto(sample_page)
    page.wait_for_load_state("networkidle")
    assert [each for each in asked if not each.startswith("data:")] == [sample_page]
    page.get_by_text("This link as a QR code").click()
    picture = page.locator("footer img")
    picture.evaluate("image => image.decode()")  # fails for an image that can't be shown
    assert asked[-1] == f"{sample_page}/qr.svg"


def test_downloads_are_saved_under_the_videos_name(page: Page, sample_page: str) -> None:
    page.goto(sample_page)
    for label, ending in (("JSON", "json"), ("CSV", "csv"), ("WebVTT", "vtt")):
        with page.expect_download() as download:
            page.get_by_role("link", name=label, exact=True).click()
        assert download.value.suggested_filename == f"street-meadow-car.mp4.{ending}"


def test_page_of_10000_segments_opens_and_jumps(page: Page, site: Site) -> None:
    segments = [
        {
            "module": f"module-{n % 5}",
            "content": f"number {n}",
            "start_time": n / 2,
            "end_time": n / 2 + 1,
            "metadata": {"score": n % 97 / 97, "label": "thing"},
        }
        for n in range(10_001)
    ]
    page.goto(site.share("long", {"name": "Long", "duration": 5001, "segments": segments}))
    assert page.locator(".entries li").count() == 300
    page.get_by_role("link", name="Zoom in: 1:00:00 to 1:15:00").click()
    expect(page.locator("#s7199")).to_contain_text("number 7199")  # it goes on to 1:00:00.5
    page.get_by_role("link", name="Zoom out").click()
    page.get_by_label("Find in this report").fill("number 8000")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("1 of 10001 findings")
    page.locator(".track rect").click()
    assert page.url.endswith("?q=number+8000&from=&to=#s8000")
    page.goto(f"{page.url.partition('?')[0]}?page=34")
    assert page.locator(".entries li").count() == 101
    assert violations(page) == []


def test_page_explains_an_expired_link(page: Page, site: Site) -> None:
    soon = time.strftime("%FT%T", time.gmtime(time.time() + 3))
    address = site.share("short", {"name": "Short"}, expires_at=soon)
    page.goto(address)
    assert page.get_by_role("heading", level=1).inner_text() == "Short"
    while (answer := page.reload()) is not None and answer.status == 200:
        pass
    assert answer is not None
    assert answer.status == 410
    assert page.get_by_role("heading", level=1).inner_text() == "This link has expired"
    assert violations(page) == []


LOCKED = {"name": "Canary of a name", "segments": [{"module": "m", "start_time": 0, "end_time": 1}]}


def test_preview_counts_no_view_and_its_button_opens_the_report(page: Page, site: Site) -> None:
    address = site.share("limited", LOCKED, max_views=1)
    for _ in range(3):
        assert "Canary" not in page.request.get(address).text()
    page.goto(address)
    assert page.title() == "A shared report"
    page.get_by_role("button", name="Open the report").click()
    assert page.url == address
    assert page.get_by_role("heading", level=1).inner_text() == "Canary of a name"
    page.reload()
    assert page.get_by_role("heading", level=1).inner_text() == "Canary of a name"
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV", exact=True).click()
    assert download.value.suggested_filename == "Canary-of-a-name.csv"
    page.get_by_text("This link as a QR code").click()
    page.locator("footer img").evaluate("image => image.decode()")
    assert page.evaluate("document.cookie") == ""
    stranger = page.context.browser
    assert stranger is not None
    other = stranger.new_page()
    other.goto(address)
    assert other.get_by_role("heading", level=1).inner_text() == "This link is used up"
    other.close()


def test_password_form_asks_until_the_password_is_right(page: Page, site: Site) -> None:
    address = site.share("locked", LOCKED, password="correct horse")
    page.goto(address)
    assert page.evaluate("document.activeElement.name") == "password"
    page.keyboard.press("Enter")  # nothing to send yet
    page.keyboard.type("incorrect horse")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("This is not the password.")
    assert page.evaluate("document.activeElement.name") == "password"
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Open the report").click()
    assert page.url == address
    assert page.get_by_role("heading", level=1).inner_text() == "Canary of a name"
    [cookie] = page.context.cookies(address)
    assert cookie["path"] == address.removeprefix(site.url)
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    assert page.context.cookies(site.url) == []


def test_password_form_tells_a_limited_viewer_to_wait(page: Page, site: Site) -> None:
    page.goto(site.share("guessed", LOCKED, password="correct horse"))
    tries, alert = 0, ""
    while "Too many tries. Wait " not in alert:  # on a slow machine a try comes back every 6 s
        assert tries < 30
        page.get_by_label("Password").fill("x")
        with page.expect_navigation():  # two clicks on one page are one try
            page.get_by_role("button").click()
        tries, alert = tries + 1, page.get_by_role("alert").inner_text()
    assert tries > 10


def test_download_without_a_token_leads_to_the_page(page: Page, site: Site) -> None:
    address = site.share("late", LOCKED, max_views=2)
    page.goto(f"{address}/analysis.csv")
    page.get_by_role("button", name="Open the report").click()
    assert page.url == address
    assert page.get_by_role("heading", level=1).inner_text() == "Canary of a name"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_unlock_forms_have_no_axe_violations(
    page: Page, site: Site, viewport: ViewportSize, scheme: Any
) -> None:
    page.set_viewport_size(viewport)
    page.emulate_media(color_scheme=scheme)
    for fields in ({"max_views": 1}, {"password": "x"}):
        page.goto(site.share("forms", LOCKED, **fields))
        assert violations(page) == []
        assert sideways(page) <= 0
    page.get_by_label("Password").fill("y")
    page.get_by_role("button").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []
    assert sideways(page) <= 0
