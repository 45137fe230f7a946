"""A two-hour film in a real browser: found, quoted, sent on, and small whatever is asked."""

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize
from support.browser import Site, chromium
from support.film import film
from support.process import new_key, serving

DESKTOP: ViewportSize = {"width": 1200, "height": 800}


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
def film_page(site: Site) -> str:
    return site.share("film", film(), sender="Ann Marsh")


def violations(page: Page) -> list[str]:
    results = Axe().run(page).response["violations"]
    return [f"{each['id']}: {[node['target'] for node in each['nodes']]}" for each in results]


def test_viewer_finds_quotes_and_sends_on_a_place(page: Page, film_page: str) -> None:
    """All of it by keyboard, and the address leads another browser to the same place."""
    page.goto(film_page)
    assert "Shared by\nAnn Marsh" in page.locator("header").inner_text()
    page.get_by_label("Find in this report").focus()
    page.keyboard.type("BRIDGE village")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("B")  # Ben Okoro
    page.get_by_label("Find in this report").press("Enter")
    status = page.get_by_role("status").inner_text()
    found = re.match(r"(\d+) of 7391 findings have .BRIDGE village., spoken by Ben Okoro", status)
    assert found is not None
    assert (page.locator("#findings mark").first.text_content() or "").lower() in {
        "bridge",
        "village",
    }
    page.locator("#findings a").first.press("Enter")
    assert f"1 of {found[1]} with" in page.locator(".steps").inner_text()
    page.get_by_role("link", name="Next").press("Enter")
    assert f"2 of {found[1]} with" in page.locator(".steps").inner_text()
    assert "Ben Okoro, The River, final cut.mp4, " in page.locator(".quote").inner_text()
    other = page.context.browser.new_page()  # type: ignore[union-attr] # it runs
    other.goto(page.url)
    assert other.locator(".quote").inner_text() == page.locator(".quote").inner_text()
    other.close()
    page.get_by_role("link", name="All findings").press("Enter")
    assert page.locator(":target").count() == 1


def test_page_of_a_film_is_small_whatever_is_asked(page: Page, film_page: str) -> None:
    for query in (
        *("", "?page=13", "?q=e", "?q=e+a&from=10:00&to=20:00", "?module=transcription"),
        *("?from=0&to=3:00", "?module=scenes&module=objects", "?entry=700", "?q=zzz"),
    ):
        page.goto(film_page + query)
        assert page.locator("*").count() <= 5_000
        assert page.locator("svg :is(rect, path, polyline)").count() <= 1_500
        assert len(page.content().encode()) <= 150_000


@pytest.mark.parametrize("query", ["?q=bridge&from=10:00", "?q=bridge&entry=700"])
def test_film_has_no_axe_violations(page: Page, film_page: str, query: str) -> None:
    page.goto(film_page + query)
    assert violations(page) == []
