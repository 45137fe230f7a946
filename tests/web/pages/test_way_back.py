"""The form of a protected link leads back to the address that was asked for."""

import html
import re
from typing import Any
from urllib.parse import urljoin

import pytest
from support.access import PASSWORD
from support.harness import Caller, Response, Service

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
LIMITS: list[dict[str, Any]] = [{"password": PASSWORD}, {"max_views": 1}]


@pytest.fixture
async def alice(service: Service) -> Caller:
    await service.alice.put_video()
    return service.alice


def action(answer: Response, address: str) -> str:
    """The address that the form of a page is sent to."""
    [found] = re.findall(rb'<form method="post" action="([^"]*)">', answer.body)
    return urljoin(address, html.unescape(found.decode()))


async def submit(public: Caller, address: str, password: str = PASSWORD) -> Response:
    body = f"password={password}".replace(" ", "+").encode()
    return await public.call("POST", address, body, headers=FORM)


@pytest.mark.parametrize("limits", LIMITS, ids=["password", "max_views"])
@pytest.mark.parametrize(
    "asked",
    ["", "?part=2", "?utm_source=mail&part=2", "?part=2&x=%0D%0ASet-Cookie:a&y=%22%3E%3Cb%3E"],
)
async def test_unlock_form_leads_back_to_the_part_asked(
    alice: Caller, public: Caller, limits: dict[str, Any], asked: str
) -> None:
    address = f"/r/{(await alice.share(**limits))['share_hash']}{asked}"
    form = await public.get(address)
    assert form.status in {200, 401}
    sent = await submit(public, action(form, address))
    assert sent.status == 303
    assert urljoin(action(form, address), sent.headers["Location"]) == address
    cookie = sent.headers["Set-Cookie"].partition(";")[0]
    shown = await public.get(address, headers={"Cookie": cookie})
    assert shown.status == 200
    assert b'<form method="post"' not in shown.body


async def test_unlock_form_keeps_the_part_through_a_wrong_password(
    alice: Caller, public: Caller
) -> None:
    address = f"/r/{(await alice.share(password=PASSWORD))['share_hash']}?part=2"
    first = action(await public.get(address), address)
    wrong = await submit(public, first, "wrong")
    assert wrong.status == 401
    assert action(wrong, first) == first
    sent = await submit(public, action(wrong, first))
    assert urljoin(first, sent.headers["Location"]) == address


async def test_unlock_form_of_a_download_leads_to_the_page(alice: Caller, public: Caller) -> None:
    page = f"/r/{(await alice.share(password=PASSWORD))['share_hash']}"
    address = f"{page}/analysis.csv?excel=1"
    sent = await submit(public, action(await public.get(address), address))
    assert urljoin(page, sent.headers["Location"]) == page


async def test_unlock_form_behind_a_proxy_path_leads_back(alice: Caller, public: Caller) -> None:
    """All addresses are relative, so a path that a proxy adds in front is kept."""
    address = f"/r/{(await alice.share(password=PASSWORD))['share_hash']}?part=2"
    outside = f"https://example.org/reports{address}"
    assert action(await public.get(address), outside) == outside
    sent = await submit(public, address)
    assert urljoin(outside, sent.headers["Location"]) == outside
