"""The console in a real browser: a newcomer's path, phones, the keyboard, axe."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize, expect
from support.browser import Site, chromium
from support.process import Server, get, request, serving

DESKTOP: ViewportSize = {"width": 1200, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}


class Demo(Site):
    """A running demonstration, as ``make run`` serves it, with something on every page."""

    def __init__(self, server: Server) -> None:
        printed = server.read_until("-X DELETE")
        [key] = re.findall(r"LVZ_KEY=(\S+)", printed)
        super().__init__(server, key)
        [self.sign_in] = re.findall(r"http://\S+/console/sign-in/\S+", printed)
        [self.link] = re.findall(r"http://\S+/r/\w+", printed)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with serving(tmp_path_factory.mktemp("demo"), "--demo") as server:
        yield Demo(server)


@pytest.fixture(scope="module")
def page(browser: Browser, demo: Demo) -> Iterator[Page]:
    """A tab that is signed in, by one click."""
    page = browser.new_page(viewport=DESKTOP)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(demo.sign_in)
    page.wait_for_url("**/console/videos")
    yield page
    page.close()
    assert [each for each in errors if "the server responded with a status of 4" not in each] == []


def test_newcomer_shares_a_report_and_revokes_the_link(page: Page, demo: Demo) -> None:
    """Without reading anything: from the one-time link to a revoked link."""
    page.get_by_role("link", name="Share street-meadow-car.mp4").click()
    page.get_by_label("Label").fill("my first link")
    page.get_by_role("radiogroup", name="Expires").get_by_role("radio", name="in").check()
    page.get_by_role("button", name="Create the link").click()
    expect(page.get_by_role("status")).to_contain_text("The link is ready.")
    address = page.get_by_role("textbox", name="Address of the link").input_value()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Open it as a viewer would see it").click()
    viewer = opened.value
    expect(viewer.get_by_role("heading", level=1)).to_have_text("street-meadow-car.mp4")
    viewer.close()
    page.get_by_role("link", name="Revoke").click()
    page.get_by_role("button", name="Revoke the link").click()
    expect(page.get_by_role("status")).to_contain_text("The link is revoked")
    assert get(address)[0] == 404
    assert get(demo.link)[0] == 200


def test_address_is_selected_by_a_click_and_by_the_keyboard(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.url}/console/links/1")
    page.locator("code.copy").click()
    assert page.evaluate("getSelection().toString()") == demo.link
    page.keyboard.press("Tab")
    selected = "(i => i.value.slice(i.selectionStart, i.selectionEnd))(document.activeElement)"
    assert page.evaluate(selected) == demo.link


def test_form_shows_what_a_choice_needs(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.url}/console/videos/1/share")
    expires = page.get_by_role("radiogroup", name="Expires")
    modules = page.get_by_role("checkbox")
    expect(expires.get_by_role("spinbutton")).to_be_hidden()
    expect(modules.first).to_be_hidden()
    expires.get_by_label("never").focus()
    page.keyboard.press("ArrowDown")  # the keyboard alone
    expect(expires.get_by_role("spinbutton")).to_be_visible()
    page.get_by_label("only these").check()
    expect(modules.first).to_be_visible()
    modules.first.check()
    page.get_by_label("on a date").first.check()
    page.get_by_label("Expires on, in UTC").fill("2020-01-01T00:00")
    page.get_by_label("Label").fill("kept")
    page.get_by_role("button", name="Create the link").click()
    expect(page.locator("#expires_at-wrong")).to_contain_text("is not in the future")
    expect(page.get_by_label("Label")).to_have_value("kept")
    expect(page.get_by_label("Expires on, in UTC")).to_have_value("2020-01-01T00:00")


def test_keyboard_reaches_the_content_first(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.url}/console/links")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"


def paths() -> Iterator[str]:
    """Every kind of page, with as much on it as there may be."""
    yield from ("videos", *(f"videos/1{path}" for path in ("", "/share", "/statistics", "/revoke")))
    yield from (f"links/1{path}" for path in ("", "/change", "/statistics", "/rotate", "/revoke"))
    yield from ("links", "links?status=expired", "links/999")
    yield from ("keys", "keys/1/delete", "usage", "events", "webhooks", "webhooks/1")
    yield "webhooks/1/change"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_pages_have_no_axe_violations_and_fit_the_screen(
    page: Page, demo: Demo, viewport: ViewportSize, scheme: Any
) -> None:
    long = "verylongnamewithoutanyspace" * 7
    settings = {"label": long, "note": long, "password": "x", "max_views": 3, "modules": ["scenes"]}
    demo.api("POST", "/shared-reports", {"video_id": "1"} | settings)
    if not demo.api("GET", "/webhooks"):
        demo.api("PUT", "/events", {"enabled": True})
        webhook = demo.api("POST", "/webhooks", {"url": f"https://{long[:60]}.invalid/{long}"})
        demo.api("POST", f"/webhooks/{webhook['id']}/test")
    page.set_viewport_size(viewport)
    page.emulate_media(color_scheme=scheme)
    faults = []
    for path in paths():
        page.goto(f"{demo.url}/console/{path}")
        faults += [f"{path}: {fault}" for fault in violations(page)]
    page.goto(f"{demo.url}/console/videos/1/share")
    page.get_by_label("only these").check()
    page.get_by_label("Label").fill("")
    page.get_by_role("button", name="Create the link").click()  # no module: an error
    faults += violations(page)
    assert faults == []


def violations(page: Page) -> list[str]:
    results = Axe().run(page).response["violations"]
    found = [f"{each['id']}: {[node['target'] for node in each['nodes']]}" for each in results]
    sideways = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return found + ([f"{sideways} px too wide"] if sideways > 0 else [])


def test_sign_in_form_has_no_axe_violations(browser: Browser, demo: Demo, tmp_path: Path) -> None:
    context = browser.new_context(viewport=PHONE)
    tab = context.new_page()
    tab.goto(demo.url)
    assert tab.url == f"{demo.url}/console/sign-in"
    tab.get_by_label("API key").fill("wrong")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("alert")).to_contain_text("An API key is lvz_live_")
    assert violations(tab) == []
    tab.get_by_label("API key").fill(demo.key)
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/console/videos")
    cookies = {cookie["name"]: cookie for cookie in context.cookies()}
    assert cookies["shared_reports_console"]["httpOnly"]
    assert cookies["shared_reports_console"]["sameSite"] == "Strict"
    assert tab.evaluate("document.cookie") == ""
    # A page of another origin: its form comes without the cookie, and gets nowhere.
    evil = tmp_path / "evil.html"
    form = f'<form method="post" action="{demo.url}/console/keys"><input name="name" value="x">'
    evil.write_text(f"{form}<button>Win</button></form>")
    tab.goto(evil.as_uri())
    tab.get_by_role("button").click()
    expect(tab.get_by_role("heading", level=1)).to_have_text("Your session has ended")
    keys = request("GET", f"{demo.url}/api/keys", Authorization=demo.key)[1]
    assert keys.count(b'"name"') == 1
    context.close()
