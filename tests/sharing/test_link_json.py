"""Lists of links: the engine makes their JSON, the same bytes as msgspec makes of the links."""

import json
import random

import msgspec
import pytest
from support.access import PASSWORD
from support.database import fetch
from support.harness import Caller, Service
from support.links import LIST, change
from support.lists import pages

from service.repositories.link_mapping import read_reports
from service.web.app_keys import CONFIG, REPOSITORIES

HOSTILE = [
    "\"\\/'`</script>&",
    "".join(map(chr, range(1, 0x20))) + "\x7f\x80\x9f",
    "\u2028\u2029\ufeff\uffff\u200b",
    "Straße ☀ 𝄞 \U0010ffff",
    "\\u0041 \\n %00 %s {} [1,2] null",
    '\n\r\n},\n{"id":"7"',
    "n" * 100,
]


@pytest.fixture
async def alice(service: Service) -> Caller:
    await service.alice.put_video()
    return service.alice


async def assert_is_as_msgspec_encodes(service: Service, count: int) -> None:
    """The lists are the encoding of the links as they are found one by one."""
    body = (await service.alice.get(f"{LIST}?limit=200")).body
    lists = service.app[REPOSITORIES].link_lists
    ids = [link["id"] for link in msgspec.json.decode(body)]
    assert len(ids) == count
    links = [await lists.get(service.alice.user_id, report_id) for report_id in ids]
    assert body == msgspec.json.encode(links)
    for same in (LIST, "/api/shared-reports?limit=200"):
        assert (await service.alice.get(same)).body == body


async def test_list_encodes_texts_as_msgspec(service: Service, alice: Caller) -> None:
    links = [
        await alice.share(label=text, note=text * 4, sender=text, modules=[text, "b"])
        for text in HOSTILE
    ]
    await assert_is_as_msgspec_encodes(service, len(HOSTILE))
    assert (await alice.get(LIST)).json == links[::-1]


async def test_list_encodes_random_texts_as_msgspec(service: Service, alice: Caller) -> None:
    draw = random.Random(7)
    alphabet = "".join(HOSTILE) + "abcdefgh" * 4
    for _ in range(30):
        texts = ("".join(draw.choices(alphabet, k=draw.randrange(40))) for _ in range(3))
        await alice.share(**dict(zip(("label", "note", "sender"), texts, strict=True)))
    await assert_is_as_msgspec_encodes(service, 30)


async def test_list_encodes_every_state_as_msgspec(service: Service, alice: Caller) -> None:
    plain = await alice.share()
    await service.public.get(f"/api/shared-reports/{plain['share_hash']}")
    await change(service, plain, label="", note=None, modules=[])  # its views are written
    exhausted = await alice.share(max_views=1)
    await service.public.get(f"/api/shared-reports/{exhausted['share_hash']}")
    await alice.share(password=PASSWORD, max_views=10**9)
    await alice.share(not_before="2025-01-15T11:00:00", expires_at="2025-01-15T12:00:00")
    await change(service, await alice.share(), is_active=False)
    await alice.share(expires_at="2025-01-15T10:00:01")
    await alice.delete(f"/api/shared-reports/{(await alice.share())['id']}")
    await service.advance(2)
    await assert_is_as_msgspec_encodes(service, 6)
    shown = {link["status"] for link in (await alice.get(LIST)).json}
    assert shown == {"active", "exhausted", "scheduled", "inactive", "expired"}


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
async def test_page_of_json_ends_where_the_next_begins(
    alice: Caller, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Also if a page comes of several statements."""
    monkeypatch.setattr("service.repositories.list_pages._SCAN_ROWS", 2)
    for number in range(9):
        await alice.share(label="\n,a" if number % 2 else '\n},{"id":"1"')
    for path, count in ((f"{LIST}?limit={limit}", 9), (f"{LIST}?limit={limit}&label=%0A,a", 4)):
        whole = (await alice.get(path.replace(f"limit={limit}", "limit=200"))).json
        paged = [link async for page in pages(alice, path) for link in page]
        assert paged == whole
        assert len(whole) == count


async def test_links_beyond_the_bounds_of_today_can_be_read(service: Service) -> None:
    """An earlier release may have stored them; the console and the command line decode them."""
    await service.alice.put_video()
    await service.alice.share()
    modules = json.dumps([f"module {number}" for number in range(600)])
    database = service.app[CONFIG].database
    fetch(database, "UPDATE shared_reports SET label = ?, modules = ?", "x" * 300, modules)
    lists = service.app[REPOSITORIES].link_lists
    parts, _ = await lists.list_all(service.alice.user_id)
    [link] = read_reports(parts)
    assert link == await lists.get(service.alice.user_id, link.id)
