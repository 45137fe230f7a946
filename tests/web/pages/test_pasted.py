"""Addresses of links as people paste them."""

from urllib.parse import quote, urljoin

import pytest
from support.harness import Caller, Start

from service.config import Config

AFTER = ("/", ".", ",", ")", "].", "%22", "%20", "%0A", ";", "!", "%E2%80%9D", "…", "/?part=2")


@pytest.mark.parametrize("after", AFTER)
async def test_pasted_address_leads_to_the_page(alice: Caller, public: Caller, after: str) -> None:
    await alice.put_video()
    page = f"/r/{(await alice.share())['share_hash']}"
    answer = await public.get(f"{page}{after}")
    assert (answer.status, answer.body) == (302, b"")
    final = await public.get(f"{page}{after}", allow_redirects=True)
    assert final.status == 200
    location = urljoin(f"{page}{after}", answer.headers["Location"])
    assert location.partition("?")[0] == page
    assert ("part=2" in after) == answer.headers["Location"].endswith("?part=2")


async def test_pasted_address_of_a_dead_or_protected_link(alice: Caller, public: Caller) -> None:
    await alice.put_video()
    locked = (await alice.share(password="x"))["share_hash"]
    link = await alice.share(expires_at="2025-01-15T10:00:05")
    for share_hash in (locked, link["share_hash"]):
        assert (await public.get(f"/r/{share_hash}.")).status == 302
        assert (await public.get(f"/r/{share_hash}/")).status == 302
    await alice.delete(f"/api/shared-reports/{link['id']}")
    for path in (f"/r/{link['share_hash']}.", f"/r/{link['share_hash']}/"):
        answer = await public.get(path)
        assert answer.status == 404
        assert b"There is no report here" in answer.body


@pytest.mark.parametrize("path", ["/r/nothing/", "/r/nothing.", "/r/%2F/", "/r/...", "/r/é."])
async def test_unknown_pasted_address_is_a_page_for_people(public: Caller, path: str) -> None:
    answer = await public.get(quote(path, safe="/%."))
    assert answer.status == 404
    assert "Location" not in answer.headers
    assert b"There is no report here" in answer.body


async def test_unknown_pasted_address_counts_as_one_guess(start: Start, config: Config) -> None:
    service = await start(Config(database=config.database, lookup_rate_limit=2))
    statuses = [(await service.public.get("/r/nothing/")).status for _ in range(3)]
    assert statuses == [404, 404, 429]


async def test_pasted_address_counts_no_view_by_itself(alice: Caller, public: Caller) -> None:
    await alice.put_video()
    link = await alice.share()
    await public.get(f"/r/{link['share_hash']}/")
    [listed] = (await alice.get("/api/shared-reports")).json
    assert listed["view_count"] == 0
